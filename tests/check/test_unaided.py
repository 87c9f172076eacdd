"""Without a spec: a backward pass against differences of its own forward."""

from __future__ import annotations

import io
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from gradtool.check.declared import declared
from gradtool.check.slopes import complex_slope, real_slope
from gradtool.check.unaided import _remarks
from gradtool.report.check_command import Request, run
from gradtool.spec.usage import UsageError

FILE = """\
import numpy as np


def softmax_regression(X, W, y, reg):
    s = X @ W
    p = np.exp(s)
    p /= p.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(len(y)), y]).mean() + reg * np.sum(W * W)
    p[np.arange(len(y)), y] -= 1
    return loss, X.T @ p / len(y) + 2 * reg * W


def relu(X):
    return np.maximum(0, X), X


def relu_back(dout, X):
    return dout * (X > 0)


class Layer:
    def __init__(self, n_in, n_out):
        self.W = np.zeros((n_in, n_out))

    def forward(self, X):
        self.X = X
        return np.abs(X @ self.W)

    def backward(self, dout):
        dout = dout * np.sign(self.X @ self.W)
        self.dW = self.X.T @ dout
        return dout @ self.W.T


def single(X):
    return np.asarray(X, dtype=np.float32) * 2, None


def kinked(X):
    return np.abs(np.sin(1e9 * X)), X


def double_back(dout, cache):
    return 2 * dout


def scaled(x, w, factor):
    return factor * (x @ w), (x, w, factor)


def scaled_back(dout, cache):
    x, w, factor = cache
    return factor * dout @ w.T, x.T @ dout * factor, None
"""
SOFTMAX = "X: [N, D], W: [D, C], y: {shape: [N], index: C}, reg: 0.3"


def report(folder: Path, text: str, forward: str, backward: str | None, inputs: str) -> str:
    (folder / "layers.py").write_text(text)
    out = io.StringIO()
    request = Request(folder / "layers.py", forward=forward, backward=backward, inputs=inputs)
    run(request, out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("forward", "backward", "inputs", "wrong", "name"),
    [
        ("softmax_regression", None, SOFTMAX, ("2 * reg", "reg"), "dW"),
        ("relu", "relu_back", "X: [N, D]", ("(X > 0)", "(X < 0)"), "dX"),
        ("scaled", "scaled_back", "x: [N, D], w: [D, C], factor: 3", ("T, x.T", "T, -x.T"), "dw"),
        ("Layer.forward", "Layer.backward", "X: [N, D], W: [D, C]", ("X.T @", "X.T @ -"), "dW"),
    ],
)
def test_right_code_passes_and_wrong_code_fails(
    tmp_path: Path,
    forward: str,
    backward: str | None,
    inputs: str,
    wrong: tuple[str, str],
    name: str,
) -> None:
    right = report(tmp_path, FILE, forward, backward, inputs)
    assert "right (" in right, right
    assert "whether the forward is right is not known" in right
    text = report(tmp_path, FILE.replace(*wrong), forward, backward, inputs)
    row = next(line for line in text.splitlines() if line.startswith(f"  {name} "))
    assert " wrong " in row, text


def test_an_analytic_forward_is_compared_to_the_last_digits(tmp_path: Path) -> None:
    inputs = "X: [N, D], W: [D, C], y: {shape: [N], index: C}, reg: 0.3"
    slightly = FILE.replace("2 * reg * W", "2.000000001 * reg * W")
    text = report(tmp_path, slightly, "softmax_regression", None, inputs)
    assert "a step into the complex plane" in text
    assert "the gradient is wrong" in text


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        ("single", "computes in float32: differences of it prove nothing"),
        ("kinked", "do not settle for X"),
        ("gone", "layers.py has no gone; it defines"),
    ],
)
def test_what_differences_cannot_tell_is_refused(
    tmp_path: Path, forward: str, expected: str
) -> None:
    text = report(tmp_path, FILE, forward, "double_back", "X: [N]")
    assert expected in text
    assert "could not be checked" in text


@pytest.mark.parametrize(("lost", "verb"), [(1, "was"), (2, "were")])
def test_that_differences_do_not_settle_is_not_said_to_be_a_kink(lost: int, verb: str) -> None:
    # They do not in a small batch of batch norm, which has no kink anywhere.
    found = SimpleNamespace(settled=np.arange(5) >= lost, exact=False)
    point = cast("Any", SimpleNamespace(right={"x": found}, outcomes={}))
    text = "\n".join(remark.message for remark in _remarks([point], ["x"]))
    assert f"{lost} of 5 entries of dx {verb} not compared: the differences do not settle" in text


@pytest.mark.parametrize("text", ["X: [N", "", "X", "3: [N]"])
def test_a_list_of_inputs_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="--inputs"):
        declared(text, "f")


def test_slopes_know_their_error() -> None:
    # cosh(1) to 20 digits.
    slope = 1.5430806348152437785
    known = real_slope(lambda t: complex(math.sinh(1 + t.real)), 1e-2)
    assert known is not None
    assert abs(known.value - slope) <= 10 * known.doubt < 1e-9
    exact = complex_slope(lambda t: complex(np.sinh(1 + t)))
    assert exact == pytest.approx(slope, rel=1e-15)
    kink = real_slope(lambda t: complex(abs(t.real - 1e-4)), 1e-2)
    assert kink is not None
    assert kink.doubt > 0.01  # far above what is taken for settled
    assert real_slope(lambda t: None, 1e-2) is None
