"""Sizes of the generated programs, compared by value at large numbers.

The engine keeps sizes as polynomials in normal form.  Here a size is its text and its value at a
few assignments of large numbers to the names: two sizes that agree at all of them are equal.
Nothing is shared with `gradtool.ir.dims`, so that a wrong normal form there shows up.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce

_ASSIGNMENTS = 4


def _large_of(name: str) -> tuple[int, ...]:
    """Large numbers that depend on the name only, even and odd: ``H//2*2`` is not ``H - 1``."""
    source = random.Random(f"size {name}")
    parities = [0, 1, *(source.randrange(2) for _ in range(_ASSIGNMENTS - 2))]
    source.shuffle(parities)
    return tuple(source.randrange(10**6, 10**7) * 2 + parity for parity in parities)


@dataclass(frozen=True)
class Size:
    """A size: how it is written, and its value at each assignment."""

    text: str = field(compare=False)
    values: tuple[int, ...]

    @staticmethod
    def named(name: str) -> Size:
        return Size(name, _large_of(name))

    @staticmethod
    def of(number: int) -> Size:
        return Size(str(number), (number,) * _ASSIGNMENTS)

    @property
    def as_int(self) -> int | None:
        """The number when no name matters."""
        first = self.values[0]
        # A named size is far larger than any number that a program writes down.
        return first if abs(first) < 10**4 and set(self.values) == {first} else None

    @property
    def factor_text(self) -> str:
        return self.text if self.text.isidentifier() or self.text.isdigit() else f"({self.text})"

    def __add__(self, other: Size | int) -> Size:
        right = _size(other)
        if right.as_int is not None and right.as_int < 0:
            return self._join(right, f"{self.text} - {-right.as_int}", lambda a, b: a + b)
        return self._join(right, f"{self.text} + {right.text}", lambda a, b: a + b)

    def __sub__(self, other: Size | int) -> Size:
        right = _size(other)
        return self._join(right, f"{self.text} - {right.factor_text}", lambda a, b: a - b)

    def __mul__(self, other: Size | int) -> Size:
        right = _size(other)
        if right.as_int == 1:
            return self
        if self.as_int == 1:
            return right
        return self._join(right, f"{self.factor_text}*{right.factor_text}", lambda a, b: a * b)

    def __floordiv__(self, other: Size | int) -> Size:
        right = _size(other)
        if right.as_int == 1:
            return self
        return self._join(right, f"{self.factor_text}//{right.factor_text}", lambda a, b: a // b)

    def _join(self, right: Size, text: str, operation) -> Size:  # type: ignore[no-untyped-def]
        values = tuple(operation(a, b) for a, b in zip(self.values, right.values, strict=True))
        made = Size(text, values)
        number = made.as_int
        return made if number is None else Size(str(number), values)

    def at(self, sizes: Mapping[str, int]) -> int:
        """The number at given sizes."""
        return int(eval(self.text, {"__builtins__": {}}, dict(sizes)))


def _size(value: Size | int) -> Size:
    return value if isinstance(value, Size) else Size.of(value)


ONE = Size.of(1)
Shape = tuple[Size, ...]


def total(shape: Iterable[Size]) -> Size:
    return reduce(lambda a, b: a * b, shape, ONE)


def broadcast(*shapes: Shape) -> Shape | None:
    """The common shape, axes aligned from the right; None when there is none."""
    result: list[Size] = []
    for place in range(1, max((len(s) for s in shapes), default=0) + 1):
        axes = {s[-place] for s in shapes if len(s) >= place} - {ONE}
        if len(axes) > 1:
            return None
        result.append(axes.pop() if axes else ONE)
    return tuple(reversed(result))


def shape_text(shape: Shape) -> str:
    """As a tuple of Python: ``(N, D)``, ``(N,)``."""
    return f"({', '.join(s.text for s in shape)}{',' if len(shape) == 1 else ''})"
