"""A softmax that stands inside a formula comes out as one, not as exponentials and their sum.

The exponentials overflow, or all vanish, where the softmax does not: a row of scores that are all
masked with -1e9 had the gradient 0 / 0.  The gradients are compared with those of the same scores
moved by a constant, which changes no softmax, and these with centered differences of a forward
pass that is written here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradtool.derive.derivation import derive
from gradtool.emit.text import line
from gradtool.numeric.reference import reference_for
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text

Array = Any


def _softmax(scores: Array) -> Array:
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _logsumexp(scores: Array) -> Array:
    top = scores.max()
    return top + np.log(np.exp(scores - top).sum())


CASES: dict[str, tuple[str, str, Callable[..., Array], str]] = {
    "attention in one line": (
        "{S: [T, U], V: [U, F]}",
        "O = softmax(S) @ V",
        lambda S, V: _softmax(S) @ V,
        "dS = P * (dO @ V.T - (dO * O).sum(axis=1, keepdims=True))",
    ),
    "attention of a batch": (
        "{S: [B, T, U], V: [B, U, F]}",
        "O = softmax(S) @ V",
        lambda S, V: _softmax(S) @ V,
        "dS = P * (dO @ V.transpose(0, 2, 1) - (dO * O).sum(axis=2, keepdims=True))",
    ),
    "logsumexp of the last two": (
        "{S: [T]}",
        "loss = logsumexp(S[-2:])",
        lambda S: _logsumexp(S[-2:]),
        "dS[t < T] = sum(P[t + (2 - T)], over=[], outside=0)",
    ),
    "every other score": (
        "{S: [T, U]}",
        "loss = sum(logsumexp(S[:, ::2]))",
        lambda S: sum(_logsumexp(row[::2]) for row in S),
        "dS[t, u < U] = sum((u == 2 * i) * P[t, i], over=[i])",
    ),
    "every score, and every other": (
        "{S: [T, U]}",
        "loss = sum(logsumexp(2 * S[:, ::2])) + sum(logsumexp(S))",
        lambda S: sum(_logsumexp(2 * row[::2]) + _logsumexp(row) for row in S),
        "dS = softmax(S, axis=1) + 2 * (P @ (arange(U)[:, None] == 2 * arange((U + 1)//2)).T)",
    ),
    "every other score, and every one": (
        "{S: [T, U]}",
        "loss = sum(logsumexp(S[:, ::2])) + sum(logsumexp(S))",
        lambda S: sum(_logsumexp(row[::2]) + _logsumexp(row) for row in S),
        "dS = softmax(S, axis=1) + P @ (arange(U)[:, None] == 2 * arange((U + 1)//2)).T",
    ),
    "the last scores, and every one": (
        "{S: [T, U]}",
        "loss = sum(logsumexp(S[:, 1:])) + sum(logsumexp(S))",
        lambda S: sum(_logsumexp(row[1:]) + _logsumexp(row) for row in S),
        "dS = softmax(S, axis=1) + pad(P, ((0, 0), (1, 0)))",
    ),
    "windows": (
        "{S: [U + 1]}",
        "L = logsumexp(windows(S, 2))",
        lambda S: np.array([_logsumexp(S[k : k + 2]) for k in range(len(S) - 1)]),
        "dS[i < U + 1] = sum(P[i - j, j] * dL[i - j], over=[j], outside=0)",
    ),
    "softmax of a slice": (
        "{S: [T, U]}",
        "Q = softmax(S[:, 1:])",
        lambda S: _softmax(S[:, 1:]),
        "dS = pad(Q * (dQ - (dQ * Q).sum(axis=1, keepdims=True)), ((0, 0), (1, 0)))",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_softmax_has_a_name(name: str) -> None:
    inputs, forward, _, expected = CASES[name]
    spec = load_text(f"layer: t\ninputs: {inputs}\nforward: {forward}\n", "layer.yaml")
    found = derive(graph_of(spec, lambda _: None)).gradient("S")
    assert found is not None
    assert line(found.name, found.tree) == expected


@pytest.mark.parametrize("shift", [0.0, 1e3, -1e3, -1e9])
@pytest.mark.parametrize("name", CASES)
def test_the_gradient_of_shifted_scores_is_the_same(name: str, shift: float) -> None:
    inputs, text, forward, _ = CASES[name]
    spec = load_text(f"layer: t\ninputs: {inputs}\nforward: {text}\n", "layer.yaml")
    layer = reference_for(spec, lambda _: None)
    sizes = dict(layer.size_sets()[0])
    values = layer.sample(sizes, np.random.default_rng(4))
    # Multiples of 1/8 are moved by 1e9 without rounding.
    values = {n: np.round(8 * np.asarray(v)) / 8 for n, v in values.items()}
    upstream = np.random.default_rng(5).standard_normal(np.shape(forward(**values)))

    def differences(name: str) -> Array:
        found = np.zeros(values[name].shape)
        for place in np.ndindex(*found.shape):
            step = np.zeros(found.shape)
            step[place] = 1e-5
            ends = [forward(**{**values, name: values[name] + s * step}) for s in (1, -1)]
            found[place] = ((ends[0] - ends[1]) * upstream).sum() / 2e-5
        return found

    (output,) = layer.outputs
    moved = {**values, "S": values["S"] + shift}
    gradients = layer.backward(moved, {output: upstream}, sizes)
    for wanted, gradient in gradients.items():
        np.testing.assert_allclose(gradient, differences(wanted), atol=1e-8, err_msg=wanted)
