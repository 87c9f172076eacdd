"""sympy's own matrix derivative: `diff` of a scalar expression by a `MatrixSymbol`.

A layer with an output Y is asked for as the trace of G.T * Y, G being the upstream gradient.
Rows are broadcast by an outer product with ones, and divisions of matrices are elementwise
inverses.  There is no window and no block of columns, so the convolution is missing and the
LSTM cell has its four gates apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import sympy as sp
from sympy import HadamardProduct, MatrixSymbol, OneMatrix, Trace

from tests.benchmarks.tools.case import NotOffered, Prepared, Printed, depth_of
from tests.benchmarks.tools.sympy_values import wrong_of


class Forward(NamedTuple):
    """A scalar and what it is differentiated by."""

    value: Any
    by: tuple[Any, ...]


N, D, C, H, T = sp.symbols("N D C H T", positive=True, integer=True)
_t = sp.Symbol("t")
_EPS = sp.Rational(1, 100000)
SIZES = {N: 2, D: 3, C: 4, H: 2, T: 3}  # at which derivatives are compared with differences


def prepare(case: str) -> Prepared:
    """The expression of a case.

    Raises:
        NotOffered: matrix expressions cannot say it.
    """
    depth = depth_of(case)
    if depth is not None:
        forward = _mlp(depth)
    elif case in _FORWARDS:
        forward = _FORWARDS[case]()
    else:
        raise NotOffered("matrix expressions have no windows")
    found: dict[Any, Any] = {}
    return Prepared(
        partial(_derive, forward, found), partial(wrong_of, forward.value, found, SIZES)
    )


def _derive(forward: Forward, found: dict[Any, Any]) -> Printed:
    for variable in forward.by:
        found[variable] = forward.value.diff(variable)
    return Printed({str(variable): str(derivative) for variable, derivative in found.items()})


# -- forward passes -----------------------------------------------------------------------


def _each(function: Callable[[Any], Any], matrix: Any) -> Any:
    return matrix.applyfunc(sp.Lambda(_t, function(_t)))


def _sigmoid(t: Any) -> Any:
    return 1 / (1 + sp.exp(-t))


def _rows(vector: Any) -> Any:
    """A (1, C) row for each of N samples."""
    return OneMatrix(N, 1) * vector


def _matrices(**shapes: tuple[Any, Any]) -> list[Any]:
    return [MatrixSymbol(name, *shape) for name, shape in shapes.items()]


def _with_upstream(value: Any, *by: Any) -> Forward:
    return Forward(Trace(MatrixSymbol("G", *value.shape).T * value), by)


def _affine() -> Forward:
    X, W, b = _matrices(X=(N, D), W=(D, C), b=(1, C))
    return _with_upstream(X * W + _rows(b), X, W, b)


def _relu_net() -> Forward:
    X, W1, b1, W2, b2 = _matrices(X=(N, D), W1=(D, H), b1=(1, H), W2=(H, C), b2=(1, C))
    hidden = _each(lambda t: sp.Max(0, t), X * W1 + _rows(b1))
    return _with_upstream(hidden * W2 + _rows(b2), X, W1, b1, W2, b2)


def _sigmoid_mse() -> Forward:
    X, W, b, target = _matrices(X=(N, D), W=(D, C), b=(1, C), T=(N, C))
    error = _each(_sigmoid, X * W + _rows(b)) - target
    return Forward(Trace(error.T * error), (X, W, b))


def _softmax(scores: Any) -> Any:
    exponentials = _each(sp.exp, scores)
    columns = OneMatrix(scores.shape[1], 1)
    inverse = _each(lambda t: 1 / t, exponentials * columns)
    return HadamardProduct(exponentials, inverse * columns.T)


def _softmax_ce() -> Forward:
    S, target = _matrices(S=(N, C), T=(N, C))
    return Forward(-Trace(target.T * _each(sp.log, _softmax(S))) / N, (S,))


def _normalised(X: Any, average: Callable[[Any], Any]) -> Any:
    centred = X - average(X)
    variance = average(HadamardProduct(centred, centred))
    return HadamardProduct(centred, _each(lambda t: 1 / sp.sqrt(t + _EPS), variance))


def _norm(average: Callable[[Any], Any]) -> Forward:
    X, gamma, beta = _matrices(X=(N, D), gamma=(1, D), beta=(1, D))
    output = HadamardProduct(_rows(gamma), _normalised(X, average)) + _rows(beta)
    return _with_upstream(output, X, gamma, beta)


def _max_margin() -> Forward:
    x, x_c, W, b, U = _matrices(x=(20, 1), x_c=(20, 1), W=(8, 20), b=(8, 1), U=(8, 1))
    true, corrupt = (U.T * _each(_sigmoid, W * sample + b) for sample in (x, x_c))
    margin = _each(lambda t: sp.Max(0, 1 + t), corrupt - true)
    return Forward(Trace(margin), (x, x_c, W, b, U))


def _scalar() -> Forward:
    x, y = sp.symbols("x y")
    return Forward((x + _sigmoid(y)) / (_sigmoid(x) + (x + y) ** 2), (x, y))


def _attention() -> Forward:
    Q, K, V = _matrices(Q=(N, D), K=(T, D), V=(T, C))
    return _with_upstream(_softmax(Q * K.T / sp.sqrt(D)) * V, Q, K, V)


def _lstm_cell() -> Forward:
    x, h, c = _matrices(x=(N, D), prev_h=(N, H), prev_c=(N, H))
    gates, by = {}, [x, h, c]
    for gate in "ifog":
        Wx, Wh, b = _matrices(**{f"Wx{gate}": (D, H), f"Wh{gate}": (H, H), f"b{gate}": (1, H)})
        by += [Wx, Wh, b]
        function = sp.tanh if gate == "g" else _sigmoid
        gates[gate] = _each(function, x * Wx + h * Wh + _rows(b))
    next_c = HadamardProduct(gates["f"], c) + HadamardProduct(gates["i"], gates["g"])
    next_h = HadamardProduct(gates["o"], _each(sp.tanh, next_c))
    Gh, Gc = _matrices(Gh=(N, H), Gc=(N, H))
    return Forward(Trace(Gh.T * next_h) + Trace(Gc.T * next_c), tuple(by))


def _l2() -> Forward:
    X, w, y = _matrices(X=(N, D), w=(D, 1), y=(N, 1))
    error = X * w - y
    return Forward(Trace(error.T * error) + sp.Rational(1, 2) * Trace(w.T * w), (X, y, w))


def _square(value: Callable[[Any], Any]) -> Forward:
    (A,) = _matrices(A=(N, N))
    return Forward(value(A), (A,))


def _trace() -> Forward:
    A, B = _matrices(A=(N, D), B=(D, N))
    return Forward(Trace(A * B), (A, B))


def _quadratic() -> Forward:
    x, A = _matrices(x=(N, 1), A=(N, N))
    return Forward(Trace(x.T * A * x), (x, A))


def _mlp(depth: int) -> Forward:
    """All widths are D: sympy has one symbol for each axis, whatever the depth."""
    (value,) = _matrices(X=(N, D))
    by = [value]
    for i in range(1, depth + 1):
        W, b = _matrices(**{f"W{i}": (D, D), f"b{i}": (1, D)})
        value = _each(sp.tanh, value * W + _rows(b))
        by += [W, b]
    return _with_upstream(value, *by)


_FORWARDS: Mapping[str, Callable[[], Forward]] = {
    "affine": _affine,
    "relu_net": _relu_net,
    "sigmoid_mse": _sigmoid_mse,
    "softmax_ce": _softmax_ce,
    "batch_norm": lambda: _norm(lambda X: OneMatrix(N, N) * X / N),
    "layer_norm": lambda: _norm(lambda X: X * OneMatrix(D, D) / D),
    "max_margin": _max_margin,
    "scalar": _scalar,
    "attention": _attention,
    "lstm_cell": _lstm_cell,
    "l2": _l2,
    "logdet": lambda: _square(lambda A: sp.log(sp.Determinant(A))),
    "inverse": lambda: _square(lambda A: Trace(MatrixSymbol("G", N, N).T * A.I)),
    "trace": _trace,
    "quadratic": _quadratic,
}
