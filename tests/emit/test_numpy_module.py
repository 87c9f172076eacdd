"""Emitted modules compute the forward pass of the spec and the derivative of that forward pass.

For every example of every word of the vocabulary and for every bundled layer, at several size
sets: the forward pass equals the graph evaluated straight from index notation, the backward pass
equals the raw reverse sweep (nothing simplified or printed) and centered differences of the
emitted forward pass itself.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradtool.derive.derivation import derive
from gradtool.emit.numpy_module import module_text
from gradtool.numeric.compile import Compiled, compiled
from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.spec.load import load_text
from tests.conftest import RunPython
from tests.emit.examples import SPECS
from tests.emit.numpy_oracle import (
    backward_of,
    distance,
    forward_of,
    run_locked,
    small_sets,
)
from tests.layers import BUNDLED, bundled


@cache
def _layer(name: str) -> DerivedReference:
    return bundled(name) if name in BUNDLED else layer(SPECS[name])


def layer(text: str) -> DerivedReference:
    return reference_for(load_text(text, "layer.yaml"))


def _values(
    reference: DerivedReference, sizes: dict[str, int], seed: int = 0
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs, and an upstream gradient for each output."""
    rng = np.random.default_rng(seed)
    values = reference.sample(sizes, rng)
    outputs = forward_of(reference.graph, values, sizes)
    return values, {name: rng.standard_normal(np.shape(y)) for name, y in outputs.items()}


EVERY = sorted([*SPECS, *BUNDLED])


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # a variance of one value, a log of zero
def test_forward_and_backward_equal_the_graph(name: str) -> None:
    reference = _layer(name)
    for sizes in small_sets(reference):
        values, upstream = _values(reference, sizes)
        before = {k: np.array(v) for k, v in values.items()}
        outputs = reference.forward(values, sizes)
        for output, expected in forward_of(reference.graph, values, sizes).items():
            assert distance(outputs[output], expected) < 1e-9, (output, sizes)
        gradients = reference.backward(values, upstream, sizes)
        for wanted, expected in backward_of(reference.graph, values, upstream, sizes).items():
            assert distance(gradients[wanted], expected) < 1e-9, (wanted, sizes)
        for variable, value in before.items():
            assert np.array_equal(values[variable], value), f"{variable} was changed"
    run_locked(reference, small_sets(reference)[0])


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_backward_equals_centered_differences(name: str) -> None:
    reference = _layer(name)
    sizes = small_sets(reference)[0]
    values, upstream = _values(reference, sizes, seed=1)
    gradients = reference.backward(values, upstream, sizes)
    rng = np.random.default_rng(2)
    step = 1e-6
    for wanted, gradient in gradients.items():
        direction = rng.standard_normal(np.shape(gradient))
        domain = next(v.domain.kind for v in reference.spec.variables if v.name == wanted)
        if domain in ("symmetric", "positive-definite"):
            direction = direction + np.swapaxes(direction, -1, -2)
        ends = [
            reference.forward({**values, wanted: values[wanted] + s * step * direction}, sizes)
            for s in (1, -1)
        ]
        change = sum(np.sum((ends[0][o] - ends[1][o]) * upstream[o]) for o in reference.outputs) / (
            2 * step
        )
        scale = sum(np.sum(np.abs(ends[0][o] * upstream[o])) for o in reference.outputs)
        along = float(np.sum(gradient * direction))
        if not np.isfinite(change):
            continue  # outside the domain of a logarithm
        assert abs(along - change) <= 1e-5 * abs(along) + 1e-8 * scale + 1e-7, wanted


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_float32_stays_float32(name: str) -> None:
    reference = _layer(name)
    sizes = small_sets(reference)[0]
    values, upstream = _values(reference, sizes)
    small = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in values.items()}
    keywords = {n: sizes[n] for n in reference.compiled.sizes}
    made, cache = reference.compiled.forward(*small.values(), **keywords)
    outputs = made if len(reference.outputs) > 1 else (made,)
    assert {np.asarray(y).dtype for y in outputs} == {np.dtype(np.float32)}
    given = tuple(np.asarray(u, dtype=np.float32) for u in upstream.values())
    gradients = reference.compiled.backward(given if len(given) > 1 else given[0], cache)
    found = {n: np.asarray(g).dtype for n, g in gradients._asdict().items()}
    assert set(found.values()) <= {np.dtype(np.float32)}, found


def test_no_module_has_dead_code_or_unknown_names(tmp_path: Path) -> None:
    for name in EVERY:
        text = _layer(name).compiled.text
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "F,E7,E9,W",
         "--ignore", "E741", str(tmp_path)],  # E741: a name such as O is the user's choice
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout


def test_modules_import_nothing_but_numpy() -> None:
    for name in EVERY:
        text = _layer(name).compiled.text
        imported = {
            (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name) or ""
            for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)
        }  # fmt: skip
        allowed = {"typing", "numpy", "math", "numpy.lib.stride_tricks"}
        if "scipy.special" in imported:
            assert "SciPy" in (ast.get_docstring(ast.parse(text)) or "")
            allowed.add("scipy.special")
        assert imported <= allowed, name


def test_printing_is_deterministic_and_needs_no_sympy(run_python: RunPython) -> None:
    program = (
        "import sys\n"
        "import gradtool.emit.numpy_module as m\n"
        "assert 'sympy' not in sys.modules\n"
        "from gradtool.spec.bundled import bundled_specs\n"
        "from gradtool.numeric.reference import reference_for\n"
        "from gradtool.spec.load import load_path\n"
        "for n in ('affine', 'batch_norm', 'softmax_cross_entropy', 'conv2d', 'max_pool2d'):\n"
        "    print(reference_for(load_path(bundled_specs()[n])).compiled.text)\n"
    )
    first, second = (run_python("-c", program, env={"PYTHONHASHSEED": seed}) for seed in ("1", "2"))
    assert first.code == 0, first.err
    assert first.out == second.out


# -- conventions --------------------------------------------------------------------------


def test_a_loss_multiplies_by_its_upstream_gradient_which_is_one_by_default() -> None:
    reference = layer("layer: l\ninputs: {X: [N]}\nforward: L = sum(X**2)\n")
    value, cache = reference.compiled.forward(np.array([1.0, 2.0]))
    assert value == 5
    backward: Callable[..., Any] = reference.compiled.backward
    assert np.array_equal(backward(cache=cache).dX, [2, 4])
    assert np.array_equal(reference.compiled.backward(3.0, cache).dX, [6, 12])


def test_several_outputs_and_their_upstream_gradients_are_tuples() -> None:
    reference = layer(
        "layer: l\ninputs: {X: [N, D]}\noutputs: [s, Y]\nforward: |\n"
        "  s = X.sum(axis=1)\n  Y = 2 * X\n"
    )
    (s, y), cache = reference.compiled.forward(np.ones((2, 3)))
    assert s.shape == (2,)
    assert y.shape == (2, 3)
    (gradient,) = reference.compiled.backward((np.array([1.0, 2.0]), np.ones((2, 3))), cache)
    assert np.array_equal(gradient, [[3, 3, 3], [4, 4, 4]])


def test_constants_are_keywords_with_their_defaults() -> None:
    reference = layer(
        "layer: l\ninputs: {X: [N]}\nconstants: {a: 2.5, k: 2}\nforward: Y = a * X**k\n"
    )
    y, _ = reference.compiled.forward(np.array([2.0]))
    assert y == 10
    y, cache = reference.compiled.forward(np.array([2.0]), a=1.0)
    assert y == 4
    assert reference.compiled.backward(np.ones(1), cache).dX == 4


def test_gradients_stand_in_the_order_of_inputs_then_parameters() -> None:
    reference = layer(
        "layer: l\ninputs: {Z: [N], X: [N]}\nparameters: {b: [N], a: [N]}\n"
        "forward: Y = a * X + b * Z\n"
    )
    _, cache = reference.compiled.forward(*np.eye(4))
    found = reference.compiled.backward(np.ones(4), cache)
    assert found._fields == ("dZ", "dX", "db", "da")


def test_a_gradient_that_is_zero_is_an_array_of_zeros() -> None:
    reference = layer("layer: l\ninputs: {X: [N, D], W: [D]}\nforward: Y = X.sum(axis=1)\n")
    _, cache = reference.compiled.forward(np.ones((2, 3)), np.ones(3))
    assert np.array_equal(reference.compiled.backward(np.ones(2), cache).dW, np.zeros(3))


def test_gradients_can_be_written_to() -> None:
    reference = layer("layer: l\ninputs: {X: [N, N]}\nforward: Y = diag(X) + X.sum(axis=0)\n")
    _, cache = reference.compiled.forward(np.ones((2, 2)))
    gradient = reference.compiled.backward(np.ones(2), cache).dX
    gradient += 1


@pytest.mark.parametrize("name", ["erf", "cache", "forward", "dtype", "math", "upstream", "abs"])
def test_names_of_the_module_itself_may_be_names_of_the_spec(name: str) -> None:
    reference = layer(
        f"layer: l\ninputs: {{{name}: [N], X: [N]}}\nforward: Y = exp({name}) * X * (X > 0) + 1\n"
    )
    sizes = {"N": 3}
    values, upstream = _values(reference, sizes)
    expected = backward_of(reference.graph, values, upstream, sizes)
    for wanted, gradient in reference.backward(values, upstream, sizes).items():
        assert distance(gradient, expected[wanted]) < 1e-12


def test_sizes_that_no_shape_tells_are_keywords() -> None:
    reference = layer(
        "layer: l\ninputs: {X: [N], y: {shape: [N], index: C}}\n"
        "forward: Y = X[:, None] * onehot(y, C)\n"
    )
    assert reference.compiled.sizes == ("C",)
    y, _ = reference.compiled.forward(np.ones(2), np.array([0, 2]), C=3)
    assert np.array_equal(y, [[1, 0, 0], [0, 0, 1]])


def test_sizes_are_read_off_shapes_that_are_longer_or_shorter() -> None:
    reference = layer(
        "layer: l\ninputs: {X: [N - 2], Z: [M + 1], W: [2*K - 4]}\n"
        "forward: Y = N * X + M * Z[0] + K * W[0]\n"
    )
    text = reference.plan.text
    assert "N = X.shape[0] + 2\n" in text
    assert "M = Z.shape[0] - 1\n" in text
    assert "K = (W.shape[0] + 4) // 2\n" in text


# -- stability and memory -----------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["softmax(X)", "log_softmax(X)", "sigmoid(X)", "softplus(X)", "logsigmoid(X)",
             "silu(X)", "tanh(X)", "logsumexp(X, axis=1, keepdims=True)"],
)  # fmt: skip
def test_large_numbers_do_not_overflow(line: str) -> None:
    reference = layer(f"layer: l\ninputs: {{X: [N, D]}}\nforward: Y = {line}\n")
    x = np.array([[1000.0, -1000.0, 0.0]])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, cache = reference.compiled.forward(x)
        (gradient,) = reference.compiled.backward(np.ones_like(y), cache)
    assert np.all(np.isfinite(y))
    assert np.all(np.isfinite(gradient))


def _peak(function: Any) -> int:
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_cross_entropy_needs_memory_for_the_gradient_and_little_more() -> None:
    reference = _layer("softmax_ce")
    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((64, 5000)), rng.integers(0, 5000, 64)
    _, cache = reference.compiled.forward(scores, labels)
    # The gradient, and its product with the upstream gradient.
    assert _peak(lambda: reference.compiled.backward(1.0, cache)) < 2.2 * scores.nbytes
    assert _peak(lambda: reference.compiled.forward(scores, labels)) < 3.2 * scores.nbytes


def test_an_embedding_adds_rows_without_a_one_hot_matrix() -> None:
    reference = layer(
        "layer: e\ninputs: {ids: {shape: [N], index: V}}\nparameters: {E: [V, D]}\n"
        "forward: Y = E[ids]\n"
    )
    table, ids = np.zeros((3000, 8)), np.arange(2000) % 700
    upstream = np.random.default_rng(0).standard_normal((2000, 8))
    _, cache = reference.compiled.forward(ids, table)
    expected = np.zeros_like(table)
    for row, i in zip(upstream, ids, strict=True):
        expected[i] += row
    (gradient,) = reference.compiled.backward(upstream, cache)
    assert np.allclose(gradient, expected)
    assert _peak(lambda: reference.compiled.backward(upstream, cache)) < 10 * upstream.nbytes


def test_labels_are_subtracted_in_place() -> None:
    text = _layer("softmax_ce").compiled.text
    assert "dS[np.arange(N), y] -= dL / N" in text
    assert "onehot" not in text


def test_a_result_that_another_gradient_needs_is_computed_once() -> None:
    text = _layer("batch_norm").compiled.text
    assert "dX = gamma / (N * std) * (N * dY - dbeta - xhat * dgamma)" in text


def test_without_scipy_the_error_function_comes_from_the_standard_library() -> None:
    reference = layer("layer: g\ninputs: {X: [N]}\nforward: Y = gelu(X)\n")
    text = module_text(reference.spec, derive(reference.graph), erf="math")
    assert "scipy" not in text
    module: Compiled = compiled(text)
    x = np.linspace(-2, 2, 5)
    assert np.allclose(module.forward(x)[0], reference.compiled.forward(x)[0])
