"""Text of an emitted module becomes callable, and its tracebacks show its lines."""

from __future__ import annotations

import traceback

import numpy as np
import pytest

from gradtool.derive.derivation import derive
from gradtool.emit.numpy_module import module_text
from gradtool.numeric.compile import compiled
from gradtool.numeric.plan import error_function
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text

AFFINE = """
layer: affine
inputs: {X: [N, D]}
parameters: {W: [D, C], b: [C]}
forward: Y = X @ W + b
"""


def test_a_layer_is_compiled_once_and_called_with_arrays() -> None:
    spec = load_text(AFFINE, "affine.yaml")
    module = compiled(module_text(spec, derive(graph_of(spec)), erf=error_function()))
    x, w, b = np.ones((2, 3)), np.full((3, 4), 2.0), np.arange(4.0)
    y, cache = module.forward(x, w, b)
    assert np.array_equal(y, [[6, 7, 8, 9]] * 2)
    gradients = module.backward(np.ones((2, 4)), cache)
    assert np.array_equal(gradients.dX, np.full((2, 3), 8.0))
    assert np.array_equal(gradients.dW, np.full((3, 4), 2.0))
    assert np.array_equal(gradients.db, [2, 2, 2, 2])
    assert module.sizes == ()


def test_modules_do_not_share_names() -> None:
    text = "def forward(x):\n    return helper(x), ()\n\n\ndef backward(d, cache):\n    return d\n"
    one = compiled(text + "\n\ndef helper(x):\n    return x + 1\n")
    two = compiled(text + "\n\ndef helper(x):\n    return x + 2\n")
    assert one.forward(1)[0] == 2
    assert two.forward(1)[0] == 3


def test_a_traceback_shows_the_emitted_line() -> None:
    spec = load_text(AFFINE, "affine.yaml")
    module = compiled(module_text(spec, derive(graph_of(spec)), erf=error_function()))
    with pytest.raises(ValueError, match="matmul") as caught:
        module.forward(np.ones((2, 3)), np.ones((2, 3)), np.ones(3))
    assert "Y = X @ W + b" in "".join(traceback.format_exception(caught.value))
