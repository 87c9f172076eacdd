"""tensorgrad (PyPI, optional): `grad`, then its full simplification, in its index notation.

Its edges have names but no order; a layer with an output is contracted with the upstream
gradient G.  Its printer fails on some results that it can compute; that is reported as it says it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import sympy as sp
import tensorgrad.functions as F
from tensorgrad import Variable
from tensorgrad.extras.to_index import to_index

from tests.benchmarks.tools.case import NotOffered, Prepared, Printed, depth_of

n, d, c, h, t = sp.symbols("n d c h t")
_EPS = 1e-5

Forward = tuple[Any, tuple[Any, ...]]


def prepare(case: str) -> Prepared:
    """The tensor of a case.

    Raises:
        NotOffered: its convolution has no stride and no padding.
    """
    depth = depth_of(case)
    if depth is not None:
        return Prepared(partial(_derive, *_mlp(depth)))
    if case not in _FORWARDS:
        raise NotOffered("no stride and no padding")
    return Prepared(partial(_derive, *_FORWARDS[case]()))


def _derive(value: Any, by: tuple[Any, ...]) -> Printed:
    return Printed({v.name: to_index(value.grad(v).full_simplify()) for v in by})


def _with_upstream(value: Any, *by: Any) -> Forward:
    return F.sum(value * Variable("G", **value.shape)), by


def _affine() -> Forward:
    X, W, b = Variable("X", n, d), Variable("W", d, c), Variable("b", c)
    return _with_upstream(X @ W + b, X, W, b)


def _relu_net() -> Forward:
    X, W1, b1 = Variable("X", n, d), Variable("W1", d, h), Variable("b1", h)
    W2, b2 = Variable("W2", h, c), Variable("b2", c)
    return _with_upstream(F.relu(X @ W1 + b1) @ W2 + b2, X, W1, b1, W2, b2)


def _sigmoid_mse() -> Forward:
    X, W, b = Variable("X", n, d), Variable("W", d, c), Variable("b", c)
    error = F.sigmoid(X @ W + b) - Variable("T", n, c)
    return F.sum(error * error), (X, W, b)


def _softmax_ce() -> Forward:
    S = Variable("S", n, c)
    return F.mean(F.cross_entropy(S, Variable("T", n, c), "c"), "n"), (S,)


def _norm(dim: str) -> Forward:
    X, gamma, beta = Variable("X", n, d), Variable("gamma", d), Variable("beta", d)
    centred = X - F.mean(X, dim, keepdims=True)
    variance = F.mean(centred * centred, dim, keepdims=True)
    return _with_upstream(gamma * (centred / F.sqrt(variance + _EPS)) + beta, X, gamma, beta)


def _max_margin() -> Forward:
    W, b, U = Variable("W", h, d), Variable("b", h), Variable("U", h)
    x, x_c = Variable("x", d), Variable("x_c", d)
    true, corrupt = (U @ F.sigmoid(W @ sample + b) for sample in (x, x_c))
    return F.relu(1 + corrupt - true), (x, x_c, W, b, U)


def _scalar() -> Forward:
    x, y = Variable("x"), Variable("y")
    total = x + y
    return (x + F.sigmoid(y)) / (F.sigmoid(x) + total * total), (x, y)


def _attention() -> Forward:
    Q, K, V = Variable("Q", n, d), Variable("K", t, d), Variable("V", t, c)
    probabilities = F.softmax(Q @ K / F.sqrt(F.sum(Variable("E"))), "t")
    return _with_upstream(probabilities @ V, Q, K, V)


def _lstm_cell() -> Forward:
    x, prev_h, prev_c = Variable("x", n, d), Variable("prev_h", n, k=h), Variable("prev_c", n, h)
    gates, by = {}, [x, prev_h, prev_c]
    for gate in "ifog":
        Wx, Wh = Variable(f"Wx{gate}", d, h), Variable(f"Wh{gate}", k=h, h=h)
        b = Variable(f"b{gate}", h)
        by += [Wx, Wh, b]
        gates[gate] = (F.tanh if gate == "g" else F.sigmoid)(x @ Wx + prev_h @ Wh + b)
    next_c = gates["f"] * prev_c + gates["i"] * gates["g"]
    next_h = gates["o"] * F.tanh(next_c)
    upstream = Variable("Gh", n, h), Variable("Gc", n, h)
    return F.sum(next_h * upstream[0]) + F.sum(next_c * upstream[1]), tuple(by)


def _l2() -> Forward:
    X, w, y = Variable("X", n, d), Variable("w", d), Variable("y", n)
    error = X @ w - y
    return error @ error + w @ w * sp.Rational(1, 2), (X, y, w)


def _square(value: Callable[[Any], Any]) -> Forward:
    A = Variable("A", i=n, j=n)
    return value(A), (A,)


def _inverse() -> Forward:
    A = Variable("A", i=n, j=n)
    return _with_upstream(F.inverse(A), A)


def _trace() -> Forward:
    A, B = Variable("A", n, d), Variable("B", d, n)
    return A @ B, (A, B)


def _quadratic() -> Forward:
    x, A = Variable("x", i=n), Variable("A", i=n, j=n)
    return x @ A @ x.rename(i="j"), (x, A)


def _mlp(depth: int) -> Forward:
    sizes = sp.symbols(f"d:{depth + 1}")
    value = Variable("X", n, sizes[0])
    by = [value]
    for i in range(1, depth + 1):
        W, b = Variable(f"W{i}", sizes[i - 1], sizes[i]), Variable(f"b{i}", sizes[i])
        value = F.tanh(value @ W + b)
        by += [W, b]
    return _with_upstream(value, *by)


_FORWARDS: Mapping[str, Callable[[], Forward]] = {
    "affine": _affine,
    "relu_net": _relu_net,
    "sigmoid_mse": _sigmoid_mse,
    "softmax_ce": _softmax_ce,
    "batch_norm": partial(_norm, "n"),
    "layer_norm": partial(_norm, "d"),
    "max_margin": _max_margin,
    "scalar": _scalar,
    "attention": _attention,
    "lstm_cell": _lstm_cell,
    "l2": _l2,
    "logdet": lambda: _square(lambda A: F.log(F.det(A))),
    "inverse": _inverse,
    "trace": _trace,
    "quadratic": _quadratic,
}
