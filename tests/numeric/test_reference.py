"""The judge's reference: right against HIPS autograd, and never sampled beside a kink."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad

from gradtool.check.reference import Reference
from gradtool.numeric.reference import DerivedReference, SamplingError, reference_for
from gradtool.spec.load import load_text


def layer(text: str) -> DerivedReference:
    return reference_for(load_text(text, "layer.yaml"))


def _rows(x: Any) -> Any:
    return anp.arange(len(x))


def _log_softmax(s: Any) -> Any:
    shifted = s - anp.max(s, axis=-1, keepdims=True)
    return shifted - anp.log(anp.sum(anp.exp(shifted), axis=-1, keepdims=True))


def _batch_norm(v: dict[str, Any]) -> Any:
    x = v["X"]
    centred = x - anp.mean(x, axis=0)
    return v["gamma"] * centred / anp.sqrt(anp.mean(centred**2, axis=0) + 1e-5) + v["beta"]


def _layer_norm(v: dict[str, Any]) -> Any:
    x = v["X"]
    centred = x - anp.mean(x, axis=1, keepdims=True)
    std = anp.sqrt(anp.mean(centred**2, axis=1, keepdims=True) + 1e-5)
    return v["g"] * centred / std + v["b"]


def _attention(v: dict[str, Any]) -> Any:
    scores = v["Q"] @ v["K"].T / anp.sqrt(v["Q"].shape[1])
    return anp.exp(_log_softmax(scores)) @ v["V"]


def _conv(v: dict[str, Any]) -> Any:
    """Strided and padded, by plain loops over the places of the result."""
    x, f = v["X"], v["F"]
    r, s = f.shape[2:]
    padded = anp.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="constant")
    rows = [
        anp.stack([
            anp.sum(padded[:, None, :, i : i + r, j : j + s] * f, axis=(2, 3, 4))
            for j in range(0, padded.shape[3] - s + 1, 2)
        ], axis=-1)
        for i in range(0, padded.shape[2] - r + 1, 2)
    ]  # fmt: skip
    return anp.stack(rows, axis=-2) + v["b"][:, None, None]


def _max_pool(v: dict[str, Any]) -> Any:
    x = v["X"]
    parts = [x[:, :, i : i + 2 * (x.shape[2] // 2) : 2, j : j + 2 * (x.shape[3] // 2) : 2]
             for i in range(2) for j in range(2)]  # fmt: skip
    return anp.max(anp.stack(parts), axis=0)


def _hinge(v: dict[str, Any]) -> Any:
    s = v["S"]
    right = s[_rows(s), v["y"]][:, None]
    margins = anp.maximum(0, s - right + 1) * (1 - anp.eye(s.shape[1])[v["y"]])
    return anp.sum(margins) / len(s)


LAYERS: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "affine": (
        "inputs: {X: [N, D]}\nparameters: {W: [D, C], b: [C]}\nforward: Y = X @ W + b\n",
        lambda v: v["X"] @ v["W"] + v["b"],
    ),
    "two_layer": (
        "inputs: {X: [N, D]}\nparameters: {W1: [D, H], b1: [H], W2: [H, C]}\n"
        "forward: S = relu(X @ W1 + b1) @ W2\n",
        lambda v: anp.maximum(v["X"] @ v["W1"] + v["b1"], 0) @ v["W2"],
    ),
    "batch_norm": (
        "inputs: {X: [N, D]}\nparameters: {gamma: [D], beta: [D]}\nconstants: {eps: 1e-5}\n"
        "forward: |\n  xc = X - X.mean(axis=0)\n"
        "  Y = gamma * xc / sqrt((xc**2).mean(axis=0) + eps) + beta\n",
        _batch_norm,
    ),
    "layer_norm": (
        "inputs: {X: [N, D]}\nparameters: {g: [D], b: [D]}\nconstants: {eps: 1e-5}\nforward: |\n"
        "  Y = g * (X - X.mean(axis=1, keepdims=True))"
        " / sqrt(X.var(axis=1, keepdims=True) + eps) + b\n",
        _layer_norm,
    ),
    "softmax_ce": (
        "inputs: {S: [N, C], y: {shape: [N], index: C}}\n"
        "forward: L = -log_softmax(S)[arange(N), y].mean()\n",
        lambda v: -anp.mean(_log_softmax(v["S"])[_rows(v["S"]), v["y"]]),
    ),
    "hinge": (
        "inputs: {S: [N, C], y: {shape: [N], index: C}}\nforward: |\n"
        "  m = maximum(0, S - S[arange(N), y][:, None] + 1) * (1 - onehot(y))\n  L = m.sum() / N\n",
        _hinge,
    ),
    "attention": (
        "inputs: {Q: [M, E], K: [T, E], V: [T, F]}\nforward: |\n"
        "  P = softmax(Q @ K.T / sqrt(E))\n  O = P @ V\n",
        _attention,
    ),
    "embedding": (
        "inputs: {ids: {shape: [N, T], index: V}}\nparameters: {E: [V, D]}\nforward: Y = E[ids]\n",
        lambda v: v["E"][v["ids"]],
    ),
    "conv": (
        "inputs: {X: [N, C, H, W]}\nparameters: {F: [K, C, R, S], b: [K]}\n"
        "forward: Y = conv2d(X, F, b, stride=2, pad=1)\n",
        _conv,
    ),
    "max_pool": (
        "inputs: {X: [N, C, H, W]}\nforward: Y = max_pool2d(X, size=2)\n",
        _max_pool,
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_forward_and_gradients_agree_with_autograd(name: str) -> None:
    text, oracle = LAYERS[name]
    reference = layer(f"layer: {name}\n{text}")
    for number, sizes in enumerate(reference.size_sets()):
        rng = np.random.default_rng(number)
        values = reference.sample(sizes, rng)
        (output,) = reference.outputs
        expected = oracle(values)
        np.testing.assert_allclose(
            reference.forward(values, sizes)[output], expected, rtol=1e-10, atol=1e-12
        )
        weight = rng.standard_normal(np.shape(expected))
        found = reference.backward(values, {output: weight}, sizes)

        for wanted, gradient in found.items():

            def objective(part: Any, wanted: str = wanted, weight: Any = weight,
                          values: dict[str, Any] = values) -> Any:  # fmt: skip
                return anp.sum(oracle({**values, wanted: part}) * weight)

            expected_gradient = grad(objective)(values[wanted])
            np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-9, atol=1e-10)


def test_it_implements_the_protocol_of_the_judge() -> None:
    reference: Reference = layer(f"layer: affine\n{LAYERS['affine'][0]}")
    assert reference.outputs == ("Y",)
    assert [str(d) for d in reference.output_shapes["Y"]] == ["N", "C"]
    assert reference.constants == {}
    assert layer(f"layer: bn\n{LAYERS['batch_norm'][0]}").constants == {"eps": 1e-5}


def test_labels_are_integers_and_masks_are_booleans() -> None:
    reference = layer(
        "layer: l\ninputs: {X: [N, D], y: {shape: [N], index: D}, m: {shape: [N], dtype: bool}}\n"
        "forward: Y = X[arange(N), y] * m\n"
    )
    values = reference.sample({"N": 5, "D": 3}, np.random.default_rng(0))
    assert values["X"].dtype == np.float64
    assert values["y"].dtype == np.int64
    assert values["m"].dtype == np.bool_


@pytest.mark.parametrize("seed", range(20))
def test_samples_keep_away_from_the_kinks_of_relu_and_max(seed: int) -> None:
    reference = layer(
        "layer: l\ninputs: {X: [N, D]}\n"
        "forward: |\n  h = relu(X)\n  Y = abs(X).max(axis=1) + h[:, 0]\n"
    )
    x = reference.sample({"N": 3, "D": 4}, np.random.default_rng(seed))["X"]
    assert np.min(np.abs(x)) > 1e-3 * np.max(np.abs(x))
    best = np.sort(np.abs(x), axis=1)
    assert np.min(best[:, -1] - best[:, -2]) > 1e-3 * np.max(best)


def test_values_that_are_equal_by_construction_are_no_kink() -> None:
    reference = layer(
        "layer: l\ninputs: {S: [N, C], y: {shape: [N], index: C}}\n"
        "forward: L = maximum(0, S - S[arange(N), y][:, None]).sum()\n"
    )
    reference.sample({"N": 3, "C": 4}, np.random.default_rng(0))


def test_a_layer_that_always_stands_beside_a_kink_is_refused() -> None:
    reference = layer("layer: l\ninputs: {X: [N], Z: [N]}\nforward: Y = maximum(X, X + 1e-9 * Z)\n")
    with pytest.raises(SamplingError, match="comparison in line 1"):
        reference.sample({"N": 3}, np.random.default_rng(0))


def test_backward_leaves_its_arguments_alone_and_returns_arrays_of_its_own() -> None:
    reference = layer("layer: l\ninputs: {X: [N], b: [N]}\nforward: Y = X + b\n")
    upstream = np.ones(2)
    found = reference.backward({"X": np.ones(2), "b": np.ones(2)}, {"Y": upstream}, {"N": 2})
    found["X"] += 1
    assert np.array_equal(upstream, [1, 1])
    assert np.array_equal(found["b"], [1, 1])
