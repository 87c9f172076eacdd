"""Gradients that are right up to a factor: a course's stated one, or one that is found."""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping, Sequence

import numpy as np

from gradtool.ir import syntax

_OPERATIONS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_PLAIN = ((-1.0, "-1"), (2.0, "2"), (0.5, "1/2"), (-2.0, "-2"), (-0.5, "-1/2"), (0.0, "0"))


class ScaleProblem(Exception):
    """A `scale:` that is no arithmetic of numbers, sizes and constants."""


def stated(text: str, names: Mapping[str, int | float]) -> float:
    """The value of a spec's `scale:`, such as ``1/(2*N)``.

    Raises:
        ScaleProblem: with the part that is none.
    """
    try:
        return float(_value(syntax.parse(text.strip(), mode="eval").body, names))
    except (SyntaxError, ValueError, RecursionError, ArithmeticError) as error:
        raise ScaleProblem(f"scale: {text.strip()!r} is no number: {error}") from None


def _value(node: ast.expr, names: Mapping[str, int | float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return float(_OPERATIONS[type(op)](_value(left, names), _value(right, names)))
    raise ScaleProblem(f"scale: {ast.unparse(node)} is not a number, a size or a constant")


def ratio(got: np.ndarray, right: np.ndarray, bound: np.ndarray) -> float | None:
    """The factor by which every entry of `got` is `right`; None when there is none, or it is 1."""
    power = float(np.vdot(right, right))
    if got.shape != right.shape or not power or not np.all(np.isfinite(got)):
        return None
    factor = float(np.vdot(right, got)) / power
    if np.all(np.abs(got - right) <= bound):
        return None
    fits = np.abs(got - factor * right) <= bound * max(1.0, abs(factor)) * 2
    return factor if bool(np.all(fits)) else None


def factor_name(factors: Sequence[tuple[float, Mapping[str, int]]]) -> str | None:
    """The name of a factor seen at several sizes: ``N``, ``1/N``, ``-1``; None when it varies.

    A size is named only if it tells the probes apart or the factor is no plain number.
    """
    for value, name in _PLAIN:
        if all(_close(factor, value) for factor, _ in factors):
            return name
    names = [name for name in factors[0][1] if all(name in sizes for _, sizes in factors)]
    for name in names:
        if all(_close(factor, sizes[name]) for factor, sizes in factors):
            return name
        if all(_close(factor, 1 / sizes[name]) for factor, sizes in factors if sizes[name]):
            return f"1/{name}"
    first = factors[0][0]
    if not all(_close(factor, first) for factor, _ in factors):
        return None
    # With as many digits as tell it from 1: such a factor is wrong, however near it is.
    texts = [f"{first:.{digits}g}" for digits in (6, 9, 12, 17)]
    return next((text for text in texts if float(text) != 1), texts[-1])


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b), 1e-300) or a == b
