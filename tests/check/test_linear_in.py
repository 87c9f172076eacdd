"""What is said to be linear is so in numbers, at every bundled layer; and steps that are not."""

from __future__ import annotations

import numpy as np
import pytest

from gradtool.check.linear_in import linear_in
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
OTHERS = [
    "Y = v @ v",
    "Y = (v - p)**2 - (v - q)**2",
    "Y = maximum(0, v)",
    "Y = v * mean(v)",
    "Y = W / v",
    "Y = W[v]",
    "a = v\na *= v\nY = a",
    "g = v\nfor t in range(T):\n    g = g * v\nY = g",
    "g = p\nfor t in range(T):\n    h = exp(g)\n    g = v\nY = h",
    "Y = affine(v, W, b)",
    "Y = solve(v, b)",
    "Y = [u for u in v]",
    "Y = v if v > 0 else -v",
    "while p: Y = v",
    "Y = einsum('nd,nd->n', v, v)",
    "Y = where(v > 0, 1, 2)",
    "Y = v +",
]


@pytest.mark.parametrize("text", LINEAR)
def test_linear_step_by_step(text: str) -> None:
    assert linear_in(text, "v", ["Y"])


@pytest.mark.parametrize("text", OTHERS)
def test_not_known_to_be_linear(text: str) -> None:
    assert not linear_in(text, "v", ["Y"])


@pytest.mark.parametrize("name", sorted(BUNDLED))
def test_the_outputs_of_layers_are_linear_where_it_is_said(name: str) -> None:
    reference = bundled(name)
    text, rng = reference.spec.forward.text, np.random.default_rng(0)
    sizes = reference.settings()[0].sizes
    values = reference.sample(sizes, rng)
    for variable in reference.spec.variables:
        if not linear_in(text, variable.name, reference.outputs):
            continue
        value = values[variable.name]
        step = rng.standard_normal(value.shape)
        here, there, far = (
            reference.forward({**values, variable.name: value + t * step}, sizes)
            for t in (0.0, 1.0, 3.0)
        )
        for output in reference.outputs:
            line = here[output] + 3 * (there[output] - here[output])
            np.testing.assert_allclose(far[output], line, rtol=1e-9, atol=1e-9)
