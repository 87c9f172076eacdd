"""What is said to be of a degree is so in numbers, at every bundled layer; and what has none."""

from __future__ import annotations

import numpy as np
import pytest

from gradtool.check.degrees import MANY, degree_in
from tests.layers import BUNDLED, bundled

LINEAR = [
    "Y = v @ W + b",
    "Y = 2 * (p - v.reshape(N, D).T) / s - mean(v, axis=0)",
    "G = zeros((N, T))\ng = zeros(N)\nfor t in reversed(range(T)):\n"
    "    g = v[:, t] + k * g\n    G[:, t] = g\nY = G",
    "a, b = v[0], 3\na += b\na *= 4\nY = where(p > 0, a, -a)",
    "w = exp(v)\nw = v\nY = einsum('nd,dc->nc', x, w)",
    "Y = conv2d(x, v, bias=b, stride=2)",
    "Y = W / sqrt(sum(W ** 2)) + v.shape[0]\nY = solve(A, v) + Y",
]
QUADRATIC = [
    "Y = v @ v",
    "Y = (v - p)**2 - (v - q)**2",
    "Y = square(v - p).sum() / N",
    "Y = v * mean(v)",
    "a = v\na *= v\nY = a",
    "Y = einsum('nd,nd->n', v, v)",
    "Y = v.T @ A @ v",
]
OTHERS = [
    "Y = v ** 3",
    "Y = v ** p",
    "Y = square(v) * v",
    "Y = maximum(0, v)",
    "Y = W / v",
    "Y = W[v]",
    "g = v\nfor t in range(T):\n    g = g * v\nY = g",
    "g = p\nfor t in range(T):\n    h = exp(g)\n    g = v\nY = h",
    "Y = affine(v, W, b)",
    "Y = solve(v, b)",
    "Y = [u for u in v]",
    "Y = v if v > 0 else -v",
    "while p: Y = v",
    "Y = where(v > 0, 1, 2)",
    "Y = v +",
]


@pytest.mark.parametrize("text", LINEAR)
def test_linear(text: str) -> None:
    assert degree_in(text, "v", ["Y"]) == 1


@pytest.mark.parametrize("text", QUADRATIC)
def test_quadratic(text: str) -> None:
    assert degree_in(text, "v", ["Y"]) == 2


@pytest.mark.parametrize("text", OTHERS)
def test_of_no_degree(text: str) -> None:
    assert degree_in(text, "v", ["Y"]) == MANY


@pytest.mark.parametrize("name", sorted(BUNDLED))
def test_the_differences_of_a_layer_vanish_behind_its_degree(name: str) -> None:
    reference = bundled(name)
    text, rng = reference.spec.forward.text, np.random.default_rng(0)
    sizes = reference.settings()[0].sizes
    values = reference.sample(sizes, rng)
    for variable in reference.spec.variables:
        degree = degree_in(text, variable.name, reference.outputs)
        if degree == MANY:
            continue
        value = values[variable.name]
        step = rng.standard_normal(value.shape)
        found = [
            reference.forward({**values, variable.name: value + t * step}, sizes)
            for t in range(degree + 2)
        ]
        for output in reference.outputs:
            rest = np.diff([one[output] for one in found], n=degree + 1, axis=0)
            np.testing.assert_allclose(rest, 0, atol=1e-9)
