"""Whether sympy's matrix derivatives hold: their values by NumPy, against centered differences.

sympy would substitute entry by entry, which takes minutes; this walks the expression once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp
from sympy import HadamardProduct, OneMatrix, Trace
from sympy.matrices.expressions.applyfunc import ElementwiseApplyFunction
from sympy.tensor.array.expressions.array_expressions import (
    ArrayDiagonal,
    _CodegenArrayAbstract,
)

_STEP, _CLOSE = 1e-5, 1e-4
_t = sp.Symbol("t")

Sizes = Mapping[Any, int]
Point = Mapping[Any, Any]


def wrong_of(forward: Any, derivatives: Mapping[Any, Any], sizes: Sizes) -> tuple[str, ...] | None:
    """The variables whose derivative is wrong; None when an expression cannot be evaluated."""
    point = _point(forward, sizes)
    wrong = []
    for variable, derivative in derivatives.items():
        expected = _differences(forward, variable, point, sizes)
        try:
            found = _value(derivative, point, sizes)
        except NotImplementedError:
            return None
        except ValueError:  # the shapes in the expression do not fit together
            wrong.append(str(variable))
            continue
        fits = found.size == expected.size  # (D,) for (1, D) is right enough
        error = abs(found.reshape(expected.shape) - expected).max() if fits else 1.0
        if not error <= _CLOSE * (1 + abs(expected).max()):
            wrong.append(str(variable))
    return tuple(wrong)


def _point(forward: Any, sizes: Sizes) -> dict[Any, Any]:
    rng = np.random.default_rng(0)
    free = [s for s in forward.free_symbols if s not in sizes]
    point = {s: rng.uniform(0.5, 1.5, _shape(s, sizes)) for s in sorted(free, key=str)}
    for value in point.values():
        if value.ndim == 2 and value.shape[0] == value.shape[1]:
            value += 2 * np.eye(len(value))  # a positive determinant
    return point


def _differences(forward: Any, variable: Any, point: Point, sizes: Sizes) -> Any:
    result = np.zeros(_shape(variable, sizes))
    for place in np.ndindex(result.shape):
        for sign in (1, -1):
            moved = point[variable].copy()
            moved[place] += sign * _STEP
            value = _value(forward, {**point, variable: moved}, sizes).item()
            result[place] += sign * value / (2 * _STEP)
    return result


def _shape(symbol: Any, sizes: Sizes) -> tuple[int, ...]:
    shape = getattr(symbol, "shape", ())
    return tuple(int(sp.sympify(size).subs(sizes)) for size in shape)


def _value(expression: Any, point: Point, sizes: Sizes) -> Any:
    """The value of an expression.

    Raises:
        ValueError: shapes do not fit together.
        NotImplementedError: a node that has no case here.
    """

    def value(node: Any) -> Any:
        if node in point:
            return point[node]
        arguments = node.args
        match node:
            case sp.MatMul():
                result = value(arguments[0])
                for other in map(value, arguments[1:]):
                    scalar = np.ndim(result) == 0 or np.ndim(other) == 0
                    result = result * other if scalar else result @ other
                return result
            case sp.MatAdd() | sp.Add():
                return sum(_equal(list(map(value, arguments))))
            case HadamardProduct():
                first, *others = _equal(list(map(value, arguments)))
                for other in others:
                    first = first * other
                return first
            case sp.Transpose():
                return value(arguments[0]).T
            case Trace():
                return np.trace(value(arguments[0]))
            case sp.Determinant():
                return np.linalg.det(value(arguments[0]))
            case sp.Inverse():
                return np.linalg.inv(value(arguments[0]))
            case ElementwiseApplyFunction():
                inner = value(node.expr)
                return sp.lambdify(_t, node.function(_t), "numpy")(inner) + np.zeros(inner.shape)
            case OneMatrix():
                return np.ones(_shape(node, sizes))
            case sp.ZeroMatrix():
                return np.zeros(_shape(node, sizes))
            case sp.Identity():
                return np.eye(_shape(node, sizes)[0])
            case sp.DiagMatrix():
                return np.diagflat(value(arguments[0]))
            case ArrayDiagonal() if arguments[1:] == ((0, 1),):
                return np.diagonal(value(arguments[0]))
            case sp.MatrixExpr() | _CodegenArrayAbstract():
                raise NotImplementedError(type(node).__name__)
        if not arguments:
            return np.float64(node.subs(sizes))
        letters = sp.symbols(f"a:{len(arguments)}")
        return sp.lambdify(letters, node.func(*letters), "numpy")(*map(value, arguments))

    return np.asarray(value(expression), dtype=float)


def _equal(values: list[Any]) -> list[Any]:
    if len({np.shape(value) for value in values}) > 1:
        raise ValueError("the terms have different shapes")  # NumPy would broadcast them
    return values
