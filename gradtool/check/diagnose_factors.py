"""Numbers seen at several sizes, as simple expressions of sizes and constants: ``N/(N - 1)``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction

from gradtool.records import Struct

_CLOSE = 1e-8

Numbers = Mapping[str, float]


class Factor(Struct, frozen=True):
    """An expression: how it is written, and its value; nan where it is undefined."""

    text: str
    value: Callable[[Numbers], float]


def named(values: Sequence[float], at: Sequence[Numbers]) -> Factor | None:
    """The simplest expression that equals each value with the numbers that hold there.

    A plain number that is the same at two sizes names itself.
    """
    if not values:
        return None
    if all(abs(v) < _CLOSE for v in values):
        return Factor("0", lambda _: 0.0)
    turned: Factor | None = None
    for factor in _library(at):
        found = [factor.value(numbers) for numbers in at]
        if all(_close(v, f) for v, f in zip(values, found, strict=True)):
            return factor
        if turned is None and all(_close(v, -f) for v, f in zip(values, found, strict=True)):
            turned = _negative(factor)
            if "(" not in turned.text:
                return turned  # else n/(1 - n) may come, for -n/(n - 1)
    if turned is not None:
        return turned
    first = values[0]
    if len(values) > 1 and all(_close(v, first) for v in values):
        return Factor(f"{first:.6g}", lambda _: first)
    return None


def _negative(factor: Factor) -> Factor:
    return Factor(f"-{factor.text}", lambda numbers: -factor.value(numbers))


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= _CLOSE * max(abs(a), abs(b))


def _over(a: float, b: float) -> float:
    return a / b if b else math.nan


def _root(a: float) -> float:
    return math.sqrt(a) if a >= 0 else math.nan


_NUMBERS = tuple(
    Fraction(text) for text in ("1", "2", "1/2", "3", "1/3", "4", "1/4", "3/2", "2/3", "5", "1/5")
)
_SHAPES: tuple[tuple[str, Callable[[float], float]], ...] = (
    ("{n}", lambda v: v),
    ("1/{n}", lambda v: _over(1.0, v)),
    ("{n}**2", lambda v: v * v),
    ("1/{n}**2", lambda v: _over(1.0, v * v)),
    ("2*{n}", lambda v: 2 * v),
    ("2/{n}", lambda v: _over(2.0, v)),
    ("{n}/2", lambda v: v / 2),
    ("1/(2*{n})", lambda v: _over(0.5, v)),
    ("({n} - 1)", lambda v: v - 1),
    ("1/({n} - 1)", lambda v: _over(1.0, v - 1)),
    ("{n}/({n} - 1)", lambda v: _over(v, v - 1)),
    ("({n} - 1)/{n}", lambda v: _over(v - 1, v)),
    ("{n}/(1 - {n})", lambda v: _over(v, 1 - v)),
    ("(1 - {n})/{n}", lambda v: _over(1 - v, v)),
    ("({n} + 1)", lambda v: v + 1),
    ("1/({n} + 1)", lambda v: _over(1.0, v + 1)),
    ("{n}/({n} + 1)", lambda v: _over(v, v + 1)),
    ("({n} + 1)/{n}", lambda v: _over(v + 1, v)),
    ("sqrt({n})", _root),
    ("1/sqrt({n})", lambda v: _over(1.0, _root(v))),
    ("{n}*sqrt({n})", lambda v: v * _root(v)),
    ("(1 - {n})", lambda v: 1 - v),
    ("1/(1 - {n})", lambda v: _over(1.0, 1 - v)),
    ("(2 - {n})", lambda v: 2 - v),
)


def _library(at: Sequence[Numbers]) -> Iterator[Factor]:
    """Expressions, simplest first."""
    for number in _NUMBERS:
        yield Factor(str(number), lambda _, v=float(number): v)  # type: ignore[misc]
    names = [n for n in at[0] if all(n in numbers for numbers in at)]
    for text, function in _SHAPES:
        for name in names:
            yield Factor(text.format(n=name), lambda a, f=function, n=name: f(a[n]))  # type: ignore[misc]
    for one in names:
        for other in names:
            if one != other:
                yield Factor(f"{one}/{other}", lambda a, n=one, m=other: _over(a[n], a[m]))  # type: ignore[misc]
                yield Factor(
                    f"sqrt({one}/{other})",
                    lambda a, n=one, m=other: _root(_over(a[n], a[m])),  # type: ignore[misc]
                )
            if one < other:
                yield Factor(f"{one}*{other}", lambda a, n=one, m=other: a[n] * a[m])  # type: ignore[misc]
                yield Factor(
                    f"1/({one}*{other})",
                    lambda a, n=one, m=other: _over(1.0, a[n] * a[m]),  # type: ignore[misc]
                )
