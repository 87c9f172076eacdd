"""A function is one however it gets its name: by `def`, by a lambda, by another name for one.

Right code passes, and with one sign turned it fails, in every way to write the same.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from gradtool.check.bind import Binding
from gradtool.check.cells import Cell
from gradtool.check.diagnose_where import where
from gradtool.check.inventory import from_json, inventory, to_json
from tests.layers import bundled, verdict_on, verdicts

RELU = "relu_forward = lambda Z: np.maximum(Z, 0)\n"
WAYS = {
    "lambdas": RELU + "relu_backward = lambda dA, Z: dA * (Z > 0)\n",
    "beside def": (
        "def relu_forward(Z):\n    return np.maximum(Z, 0)\n"
        "relu_backward = lambda dA, Z: dA * (Z > 0)\n"
    ),
    "the derivative": (
        "relu = lambda z: np.maximum(z, 0)\nrelu_prime = lambda z: (z > 0).astype(float)\n"
    ),
    "annotated": (
        "from typing import Any\nrelu_forward: Any = lambda Z: np.maximum(Z, 0)\n"
        "relu_backward: Any = lambda dA, Z: dA * (Z > 0)\n"
    ),
    "two at once": (
        "relu_forward, relu_backward = lambda Z: np.maximum(Z, 0), lambda dA, Z: dA * (Z > 0)\n"
    ),
    "another name": (
        RELU + "def times_slope(dA, Z):\n    return dA * (Z > 0)\nrelu_backward = times_slope\n"
    ),
    "several names": (
        RELU + "def relu_backward(dA, Z):\n    return dA * (Z > 0)\n"
        "relu_grad = relu_derivative = relu_backward\nrelu = relu_forward\n"
    ),
    "a hidden name": (
        RELU + "def _relu_grad_of(dA, Z):\n    return dA * (Z > 0)\nrelu_backward = _relu_grad_of\n"
    ),
    "vectorized": (
        "relu = np.vectorize(lambda z: max(z, 0.0))\n"
        "relu_prime = np.vectorize(lambda z: 1.0 * (z > 0))\n"
    ),
    "in a class": (
        "class Relu:\n    forward = lambda self, Z: np.maximum(Z, 0)\n"
        "    backward = lambda self, dA, Z: dA * (Z > 0)\n"
    ),
    "methods": (
        "class Relu:\n    def __call__(self, Z):\n        self.Z = Z\n"
        "        return np.maximum(Z, 0)\n    def slope(self, dA):\n"
        "        return dA * (self.Z > 0)\n    forward = __call__\n    backward = slope\n"
    ),
    "a class": (
        "class Rectifier:\n    def forward(self, Z):\n        self.Z = Z\n"
        "        return np.maximum(Z, 0)\n    def backward(self, dA):\n"
        "        return dA * (self.Z > 0)\nReLU = Rectifier\n"
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_read(tmp_path: Path, way: str) -> None:
    text = "import numpy as np\n" + WAYS[way]
    found = verdict_on(bundled("relu"), tmp_path, text)
    assert (found.verdict, [g.standing for g in found.gradients]) == ("pass", ["ok"]), found
    mistaken = text.replace("Z > 0", "Z < 0").replace("z > 0", "z < 0")
    found = verdict_on(bundled("relu"), tmp_path, mistaken)
    assert (found.verdict, [g.standing for g in found.gradients]) == ("fail", ["wrong"])


@pytest.mark.parametrize("way", ["lambdas", "beside def", "two at once", "another name"])
def test_the_line_that_is_told_is_the_backward_passes(tmp_path: Path, way: str) -> None:
    file = tmp_path / "layer.py"
    file.write_text(WAYS[way].replace("Z > 0", "Z < 0"))
    binding = Binding("", "A = relu_forward(Z)", "dZ = relu_backward(dA, Z)")
    found = where(file, binding, "Z")
    assert found is not None
    assert "Z < 0" in found.source
    made = Binding("", "A = relu_forward(Z)", "dZ = made_backward(dA, Z)")
    assert where(file, made, "Z") is None  # not the line of another function


@pytest.mark.parametrize("way", ["lambdas", "another name", "several names", "a class"])
def test_one_with_several_names_is_judged_once(tmp_path: Path, way: str) -> None:
    (found,) = verdicts(tmp_path, WAYS[way])
    assert (found.verdict, found.layer) == ("pass", "relu")


def test_a_tuple_of_a_lambda_has_its_gradients(tmp_path: Path) -> None:
    text = (
        "import numpy as np\naffine_forward = lambda X, W, b: (X @ W + b, (X, W))\n"
        "affine_backward = lambda dY, c: (dY @ c[1].T, c[0].T @ dY, dY.sum(axis=0))\n"
    )
    found = verdict_on(bundled("affine"), tmp_path, text)
    assert [g.standing for g in found.gradients] == ["ok", "ok", "ok"]
    found = verdict_on(bundled("affine"), tmp_path, text.replace("sum(axis=0)", "mean(axis=0)"))
    assert [g.standing for g in found.gradients] == ["ok", "ok", "wrong"]


def test_what_a_call_makes_is_said_not_to_be_read(tmp_path: Path) -> None:
    text = (
        "import numpy as np\n" + RELU + "def times(k):\n"
        "    return lambda dA, Z: k * dA * (Z > 0)\nrelu_backward = times(1.0)\n"
    )
    found = verdict_on(bundled("relu"), tmp_path, text)
    assert found.trouble is not None
    assert "relu_backward is what a call returns" in found.trouble.message
    assert "written with def" in found.trouble.message


def test_a_name_stands_for_what_it_meant_there() -> None:
    text = "def f(a): return a\ng = f\ndef f(a, b): return b\nh, f = f, g\nk = missing\n"
    found = inventory([(Cell("t", text), ast.parse(text))])
    assert {f.name: f.params for f in found.functions} == {
        "f": ("a",),
        "g": ("a",),
        "h": ("a", "b"),
    }
    assert from_json(to_json(found)).functions == found.functions


PARTIAL = """
import functools
import numpy as np
from functools import partial
def leaky_forward(x, slope=0.01):
    return np.where(x > 0, x, slope * x), x
def leaky_backward(dout, cache, slope=0.01):
    return dout * np.where(cache > 0, 1.0, slope)
def first_backward(slope, dout, cache):
    return leaky_backward(dout, cache, slope)
def middle_backward(dout, slope, cache):
    return leaky_backward(dout, cache, slope)
behind_backward = partial(middle_backward)
relu_forward = partial(leaky_forward, slope=0)
relu_backward = MADE
"""


@pytest.mark.parametrize(
    "made",
    [
        "partial(leaky_backward, slope=SLOPE)",
        "functools.partial(first_backward, SLOPE)",
        "partial(middle_backward, slope=SLOPE)",
        "partial(behind_backward, slope=SLOPE)",
        "partial(partial(leaky_backward, slope=0.3), slope=SLOPE)",
        "partial(lambda slope, dout, cache: leaky_backward(dout, cache, slope), SLOPE)",
    ],
)
def test_a_function_with_some_arguments_given(tmp_path: Path, made: str) -> None:
    text = PARTIAL.replace("MADE", made)
    relu = bundled("relu")
    assert verdict_on(relu, tmp_path, text.replace("SLOPE", "0")).verdict == "pass"
    verdict = verdict_on(relu, tmp_path, text.replace("SLOPE", "0.1"))
    assert [gradient.standing for gradient in verdict.gradients] == ["wrong"]
    assert [called.name for called in verdict.called] == ["relu_forward", "relu_backward"]


@pytest.mark.parametrize("kept", ["x", "(x,)", "x > 0"])
def test_what_a_layer_keeps_is_not_its_gradient(tmp_path: Path, kept: str) -> None:
    """A backward pass that is not read, or not written, is not judged by what it would be given."""
    text = PARTIAL.replace("slope * x), x", f"slope * x), {kept}")
    text = text.replace("MADE", "partial(leaky_backward, **{'slope': 0})")
    found = verdict_on(bundled("relu"), tmp_path, text)
    assert (found.verdict, found.gradients) == ("error", ()), found
    text = "def affine_forward(X, W, b):\n    return X @ W + b, X, W\n"
    assert verdict_on(bundled("affine"), tmp_path, text).verdict == "error"
