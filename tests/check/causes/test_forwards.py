"""A wrong forward has a cause: one change of it gives the spec's numbers, or its numbers tell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from gradtool.check.diagnose_choice import of_output
from gradtool.check.repairs.fix import Fix
from gradtool.check.repairs.targets import Repair
from gradtool.check.result import Compared, Verdict
from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.load import load_path
from tests.lasting_worker import LastingWorker

BATCH_NORM = """
import numpy as np

def forward(x, gamma, beta, eps=1e-5):
    xc = x - x.mean(axis=0)
    var = np.mean(xc ** 2, axis=0)
    std = np.sqrt(var + eps)
    xhat = xc / std
    out = gamma * xhat + beta
    return out, (xc, std, xhat, gamma)

def backward(dout, cache):
    xc, std, xhat, gamma = cache
    n = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    dvar = np.sum(dxhat * xc, axis=0) * -0.5 * std ** -3
    dmu = -np.sum(dxhat / std, axis=0) + dvar * np.mean(-2 * xc, axis=0)
    dx = dxhat / std + dvar * 2 * xc / n + dmu / n
    return dx, dgamma, dbeta
"""
AFFINE_RELU = """
import numpy as np

def affine_relu_forward(x, w, b):
    z = x @ w + b
    out = np.maximum(0, z)
    return out, (x, w, z)

def affine_relu_backward(dout, cache):
    x, w, z = cache
    dz = dout * (z > 0)
    return dz @ w.T, x.T @ dz, dz.sum(axis=0)
"""
LINEAR_SOFTMAX = """
import numpy as np

def softmax_loss(W, X, y, reg):
    n = X.shape[0]
    scores = X.dot(W)
    scores -= scores.max(axis=1, keepdims=True)
    e = np.exp(scores)
    p = e / e.sum(axis=1, keepdims=True)
    loss = -np.sum(np.log(p[np.arange(n), y])) / n
    loss += reg * np.sum(W * W)
    d = p.copy()
    d[np.arange(n), y] -= 1
    dW = X.T.dot(d) / n + 2 * reg * W
    return loss, dW
"""
MSE = """
import numpy as np

def mse_loss(y, t):
    diff = y - t
    loss = np.sum(diff ** 2) / diff.size
    dy = 2 * diff / diff.size
    return loss, dy
"""
RNN = """
import numpy as np

def rnn_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    hs = np.zeros((N, T, h0.shape[1]))
    h = h0
    for t in range(T):
        h = np.tanh(x[:, t] @ Wx + h @ Wh + b)
        hs[:, t] = h
    return hs, (x, h0, Wx, Wh, hs)

def rnn_backward(dhs, cache):
    x, h0, Wx, Wh, hs = cache
    dx, dWx, dWh = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh)
    db = np.zeros(Wx.shape[1])
    dh = np.zeros_like(h0)
    for t in reversed(range(x.shape[1])):
        prev = h0 if t == 0 else hs[:, t - 1]
        da = (dhs[:, t] + dh) * (1 - hs[:, t] ** 2)
        dx[:, t] = da @ Wx.T
        dWx += x[:, t].T @ da
        dWh += prev.T @ da
        db += da.sum(axis=0)
        dh = da @ Wh.T
    return dx, dh, dWx, dWh, db
"""
CONV = """
import numpy as np

def conv_forward(x, w, b, stride, pad):
    N, C, H, W = x.shape
    K, _, R, S = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = np.zeros((N, K, (H + 2 * pad - R) // stride + 1, (W + 2 * pad - S) // stride + 1))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            win = xp[:, :, i * stride:i * stride + R, j * stride:j * stride + S]
            out[:, :, i, j] = np.tensordot(win, w, axes=([1, 2, 3], [1, 2, 3])) + b
    return out, (x, w, stride, pad, xp)

def conv_backward(dout, cache):
    x, w, stride, pad, xp = cache
    N, K, Ho, Wo = dout.shape
    R, S = w.shape[2:]
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    for i in range(Ho):
        for j in range(Wo):
            at = np.s_[:, :, i * stride:i * stride + R, j * stride:j * stride + S]
            dw += np.tensordot(dout[:, :, i, j], xp[at], axes=([0], [0]))
            dxp[at] += np.tensordot(dout[:, :, i, j], w, axes=([1], [0]))
    dx = dxp[:, :, pad:xp.shape[2] - pad, pad:xp.shape[3] - pad]
    return dx, dw, dout.sum(axis=(0, 2, 3))
"""
FILES = {
    "batch_norm": BATCH_NORM,
    "affine_relu": AFFINE_RELU,
    "linear_softmax": LINEAR_SOFTMAX,
    "mse": MSE,
    "rnn": RNN,
    "conv2d": CONV,
}


@cache
def reference(layer: str) -> DerivedReference:
    return reference_for(load_path(bundled_specs()[layer]))


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LastingWorker]:
    with LastingWorker(tmp_path_factory.mktemp("forwards")) as made:
        yield made


def verdict(worker: LastingWorker, layer: str, right: str = "", wrong: str = "") -> Verdict:
    text = FILES[layer]
    assert not right or text.count(right) == 1
    return worker.check(reference(layer), text.replace(right, wrong) if right else text, layer)


def told(found: Verdict) -> set[str]:
    wrong: list[Compared] = [o for o in found.forward if o.standing == "wrong"]
    assert wrong, found
    return {o.cause.code if o.cause is not None else "" for o in wrong}


@pytest.mark.parametrize("layer", FILES)
def test_the_right_file_passes(layer: str, worker: LastingWorker) -> None:
    assert verdict(worker, layer).verdict == "pass"


@pytest.mark.parametrize(
    ("layer", "right", "wrong", "code"),
    [
        ("batch_norm", "np.mean(xc ** 2, axis=0)", "x.var(axis=0, ddof=1)", "unbiased"),
        ("batch_norm", "np.mean(xc ** 2, axis=0)", "np.sum(xc**2, axis=0) / (len(x) - 1)",
         "unbiased"),
        ("batch_norm", "np.mean(xc ** 2, axis=0)", "np.mean(xc ** 2)", "extra-sum"),
        ("batch_norm", "np.sqrt(var + eps)", "np.sqrt(var) + eps", "guard"),
        ("batch_norm", "gamma * xhat + beta", "gamma * xhat", "missing-term"),
        ("affine_relu", "out = np.maximum(0, z)", "out = z", "wrong-function"),
        ("affine_relu", "np.maximum(0, z)", "1 / (1 + np.exp(-z))", "wrong-function"),
        ("affine_relu", "x @ w + b", "x @ w", "missing-term"),
        ("linear_softmax", "y])) / n", "y]))", "sum-for-mean"),
        ("linear_softmax", "    loss += reg * np.sum(W * W)\n", "", "regulariser"),
        ("linear_softmax", "e.sum(axis=1, keepdims=True)", "e.sum(axis=0, keepdims=True)",
         "wrong-axis"),
        ("linear_softmax", "np.log(p[np.arange(n), y])", "np.log(p[np.arange(n), y - 1])",
         "label-shift"),
        ("linear_softmax", "loss = -np.sum", "loss = np.sum", "sign"),
        ("mse", "/ diff.size\n    dy", "/ diff.shape[0]\n    dy", "sum-for-mean"),
        ("mse", "loss = np.sum(diff ** 2) / diff.size",
         "loss = sum(d * d for d in diff.ravel()) / (2 * diff.size)", "scale"),
        ("rnn", "h @ Wh + b", "h @ Wh.T + b", "transposed"),
        ("rnn", "np.tanh(x[:, t] @ Wx + h @ Wh + b)", "x[:, t] @ Wx + h @ Wh + b",
         "wrong-function"),
        ("conv2d", "xp[:, :, i * stride:i * stride + R, j * stride:j * stride + S]\n            o",
         "xp[:, :, i:i + R, j:j + S]\n            o", "stride-ignored"),
    ],
)  # fmt: skip
def test_a_wrong_forward_is_told_with_its_mistake(
    layer: str, right: str, wrong: str, code: str, worker: LastingWorker
) -> None:
    assert told(verdict(worker, layer, right, wrong)) == {code}


def test_a_gradient_that_the_same_change_mends_has_the_same_cause_and_line(
    worker: LastingWorker,
) -> None:
    found = verdict(worker, "batch_norm", "np.mean(xc ** 2, axis=0)", "x.var(axis=0, ddof=1)")
    (output,) = found.forward
    (gradient,) = [g for g in found.gradients if g.standing == "wrong"]
    assert output.cause is not None
    assert gradient.cause is not None
    assert (gradient.cause.code, gradient.line) == (output.cause.code, output.line)
    assert "mistake that makes Y wrong" in gradient.cause.message


def test_a_gradient_beside_a_wrong_forward_is_judged_on_its_own(worker: LastingWorker) -> None:
    found = verdict(worker, "linear_softmax", "y])) / n", "y]))")
    assert [g.standing for g in found.gradients] == ["ok"]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("np.sum(np.log(p[np.arange(n), y]))", "np.sum(np.log(p) * np.cos(p))"),
        ("e = np.exp(scores)", "e = np.exp(scores ** 3) + np.sin(scores)"),
    ],
)
def test_a_forward_that_is_something_else_is_given_no_cause(
    right: str, wrong: str, worker: LastingWorker
) -> None:
    assert told(verdict(worker, "linear_softmax", right, wrong)) == {""}


def test_a_gradient_follows_a_forward_that_raises_where_there_is_one_sample(
    worker: LastingWorker,
) -> None:
    """What is right with a change of the forward is named: a gradient that follows it is not."""
    own = BATCH_NORM.replace("np.mean(xc ** 2, axis=0)", "1 / (len(x) - 1) * np.sum(xc**2, axis=0)")
    own = own.replace("dvar * 2 * xc / n", "dvar * 2 * xc / (n - 1)")
    found = worker.check(reference("batch_norm"), own, "batch_norm")
    assert {g.name: g.standing for g in found.gradients}["X"] == "follows"
    (output,) = found.forward
    assert output.cause is not None
    assert output.cause.code == "unbiased"
    assert "dX" not in output.cause.message


def test_a_guard_beside_a_mistake_does_not_hide_it(worker: LastingWorker) -> None:
    """With one class the loss is 0, and with a clipped probability of 1 it is 1e-9 instead."""
    text = """
import numpy as np

def softmax_loss(S, y):
    n = len(S)
    p = np.exp(S - S.max(axis=1, keepdims=True))
    p = np.clip(p / p.sum(axis=1, keepdims=True), 1e-9, 1 - 1e-9)
    loss = -np.log(p[np.arange(n), y]).sum() / S.size
    p[np.arange(n), y] -= 1
    return loss, p / n
"""
    found = worker.check(reference("softmax_cross_entropy"), text, "softmax_cross_entropy")
    (output,) = found.forward
    assert output.standing == "wrong"
    assert output.cause is not None
    assert "1/C times" in output.cause.message


def _change(code: str, cost: float, name: str) -> Repair:
    left, right = ast.parse(f"{name} + y", mode="eval").body, ast.parse(f"{name} - y").body[0]
    assert isinstance(left, ast.expr)
    assert isinstance(right, ast.Expr)
    fix = Fix(left, right.value, code, cost, f"a mistake with {name}")
    return Repair(fix, cost, "", 1, f"{name} + y", True, frozenset({"output Y"}), 5)


@pytest.mark.parametrize(
    ("other", "cost", "code"),
    [("sign", 1.0, "unknown"), ("sign", 1.2, "scale"), ("sum-for-mean", 1.0, "scale")],
)
def test_two_mistakes_that_explain_a_forward_equally_well_are_both_said(
    other: str, cost: float, code: str
) -> None:
    cause, at = of_output([_change("scale", 1.0, "a"), _change(other, cost, "b")])
    assert cause.code == code
    assert (at is None) == (code == "unknown")
    assert ("a mistake with b" in cause.message) == (code == "unknown")
