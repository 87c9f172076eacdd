"""The slope of a sigmoid that is written out inside a formula is R * (1 - R).

``exp(-X) * (1 / (1 + exp(-X)))**2`` stood there, which is inf * 0 at X = -1000, where the forward
pass and the slope are 0.  Expected is what HIPS autograd finds of the same layer with a sigmoid
that cannot overflow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import elementwise_grad

import gradtool

Array = Any


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + anp.tanh(x / 2))


# The forward pass, the same in autograd, and what is printed of X.
CASES: dict[str, tuple[str, Callable[[Array, Array], Array], str]] = {
    "beside a term": (
        "Y = Z + 1 / (1 + exp(-X))",
        lambda x, z: z + _sigmoid(x),
        "dX = dY * ratio * (1 - ratio)",
    ),
    "under a relu": (
        "Y = relu(1 / (1 + exp(-X)) - Z)",
        lambda x, z: anp.maximum(0, _sigmoid(x) - z),
        "dX = dY * ratio * (Y > 0) * (1 - ratio)",
    ),
    "and its opposite": (
        "Y = (1 - 1 / (1 + exp(-X))) * Z + X / (1 + exp(-X))",
        lambda x, z: (1 - _sigmoid(x)) * z + x * _sigmoid(x),
        "dX = dY * ratio * (1 + X + ratio * (Z - X) - Z)",
    ),
    "squared": (
        "Y = (1 / (1 + exp(-X)) - Z)**2",
        lambda x, z: (_sigmoid(x) - z) ** 2,
        "dX = 2 * dY * ratio * diff * (1 - ratio)",
    ),
    "of a positive exponent": (
        "Y = 1 / (1 + exp(X)) - Z",
        lambda x, z: _sigmoid(-x) - z,
        "dX = -dY * ratio * (1 - ratio)",
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:overflow")
def test_the_slope_is_that_of_a_sigmoid(name: str) -> None:
    line, right, printed = CASES[name]
    layer = gradtool.load(f"layer: l\ninputs: {{X: [N], Z: [N]}}\nforward: {line}\n").derive()
    assert f"dX = {layer.gradients['X'].text}" == printed
    forward, backward = layer.numpy()
    x = np.array([-1000.0, 1000.0, -750.0, 0.3, -2.0])
    z = np.array([0.5, -2.0, 0.1, 0.2, 0.05])
    up = np.array([1.0, -2.0, 0.5, 0.25, 3.0])
    with np.errstate(over="ignore"):
        _, cache = forward(X=x, Z=z)
        found = backward(up, cache)
    for place, gradient in enumerate((found.dX, found.dZ)):
        expected = up * elementwise_grad(right, place)(x, z)
        np.testing.assert_allclose(gradient, expected, atol=1e-12)
