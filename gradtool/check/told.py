"""Numbers that take note of the constants that are added to them.

A difference of two forward passes moves a given number by a constant, or several along a direction,
computes as much as a whole forward pass does, and goes on with the next one.  Where the moved array
has no name, or one that nobody looks at, as an attribute of an object, the numbers themselves tell:
NumPy calls the methods of entries of an array of objects.  Nothing else does that: ``log(x + eps)``
moves all numbers at once, and ``(x - y) * 2`` none by a constant.

They tell of a complex step, too; see `gradtool.check.complex_steps`.  And of a function of one
variable that is evaluated at many points around the given ones, as by a long stencil or by Cauchy's
integral: for all numbers at once, and right to the last digit.
"""

from __future__ import annotations

import ast
import cmath
import math
import operator
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from gradtool.check.complex_steps import EQUAL, TINY
from gradtool.records import Struct

_MOST_WORK = 300_000  # operations: what is seen by then has to do
_FEWEST = 3  # entries that were moved one after the other
_ENOUGH = 8  # where there are more
_MOST_DIRECTIONS = 100  # that are looked at
_SEVERAL = 2  # entries that are moved at once, along a direction
_POINTS = 4  # to each side, or complex ones: with fewer a derivative has not all digits
_MOST_POINTS = 200  # of a variable
_WHOLE = 0.5  # of the operations of the forward pass: what is hardly less than one
_BASES = frozenset({"eye", "identity", "diag", "diagflat", "fill_diagonal", "kron"})


def may_move(kinds: Collection[type[ast.AST]], names: Iterable[ast.AST]) -> bool:
    """Whether a text has a loop, by which steps can be done one by one, or names what makes unit
    vectors, by which all can be done at once.

    By the text and not by the time that it takes: that is another one each time.

    Args:
        kinds: of all nodes.
        names: the nodes by which it names something; see `gradtool.check.nodes.telling`.
    """
    return not _LOOPS.isdisjoint(kinds) or not _BASES.isdisjoint(_words(names))


def may_subtract(kinds: Collection[type[ast.AST]], names: Iterable[ast.AST]) -> bool:
    """Whether a text has a minus, without which there is no difference."""
    return not _MINUS.isdisjoint(kinds) or not _SUBTRACTING.isdisjoint(_words(names))


def _words(names: Iterable[ast.AST]) -> Iterable[str]:
    for node in names:
        if type(node) is ast.Name:
            yield node.id
        elif type(node) is ast.Attribute:
            yield node.attr


_LOOPS = frozenset({ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp})
_MINUS = frozenset({ast.Sub, ast.USub, ast.Invert})  # ~0 is -1
_SUBTRACTING = frozenset(
    """
    subtract sub __sub__ negative neg diff ediff1d gradient ptp
    polyfit lstsq solve det cross reduce
""".split()  # noqa: SIM905 - a table to read
)


class Moved(Struct, frozen=True):
    """A constant was added to one entry of a variable; `time`: after so many operations."""

    entry: int
    by: float
    time: int


class Enough(BaseException):
    """The code has computed so much that no more of it is looked at; it is not to catch that."""


class Told:
    """A number that keeps a note of constants that are added to it.

    It computes as a number of float64 does.  It is no subclass of `float`: then a complex number
    times it would be a complex number that nobody knows to be none of the constants.

    `place` is the variable and the entry that it was given as; what is computed has none.  `line`
    is the slope and the offset by which it was computed of one that has, where nothing else was.
    """

    __slots__ = ("line", "origin", "place", "value")

    # Of all of them together: one process, one look.
    steps: list[tuple[float, float]] = []  # noqa: RUF012 - the size of imaginary ones, the number
    moves: dict[int, list[Moved]] = {}  # noqa: RUF012 - by variable
    time = 0
    left = False  # whether given numbers were made plain ones, which tell nothing
    shifts: dict[int, dict[complex, set[int]]] = {}  # noqa: RUF012 - by variable, the entries

    def __init__(self, value: float, place: tuple[int, int] | None = None) -> None:
        self.value = float(value)
        self.place = self.origin = place
        self.line = (1.0, 0.0)

    def _on_line(self, found: Any, slope: float, offset: float) -> Any:
        """What was computed of this number and constants, by a slope that is not zero."""
        if self.origin is not None and type(found) is Told and slope:
            found.origin, found.line = self.origin, (slope, offset)
        return found

    def _shifted(self, by: complex) -> None:
        """A constant was added to it, or to what is on a line with a given number."""
        if self.origin is not None:
            slope, offset = self.line
            variable, entry = self.origin
            shifts = Told.shifts.setdefault(variable, {})
            shift = (offset + by) / slope
            if shift in shifts or len(shifts) < _MOST_POINTS:
                shifts.setdefault(shift, set()).add(entry)

    @staticmethod
    def step() -> float:
        """The imaginary constant that was added to some numbers and not to others, or to all of
        them and is tiny beside them; 0 when there is none.
        """
        sizes = [size for size, _ in Told.steps if size]
        size = max(sizes, default=0.0)
        if not sizes or size - min(sizes) > EQUAL * size:
            return 0.0
        everywhere = len(sizes) == len(Told.steps)
        largest = max((abs(value) for _, value in Told.steps if math.isfinite(value)), default=0.0)
        return 0.0 if everywhere and size > TINY * largest else size

    @staticmethod
    def moved(entries: Sequence[int], forward: int) -> float:
        """The largest constant by which the entries of a variable were moved one after the other,
        or along one direction after the other; 0 where none was.

        `entries` is how many each variable has, `forward` the operations of a forward pass.
        """
        found = [0.0]
        for variable, count in enumerate(entries):
            moves = Told.moves.get(variable, [])
            found.append(_in_turn(moves, count, forward) or _along(moves, count, forward))
        return max(found)

    @staticmethod
    def around(entries: Sequence[int]) -> float:
        """The largest constant that was added to all entries of a variable, where there were so
        many that a function is evaluated all around them; else 0.
        """
        for variable, count in enumerate(entries):
            if count < _FEWEST:
                continue
            every = [c for c, seen in Told.shifts.get(variable, {}).items() if len(seen) == count]
            beside = [c for c in every if complex(c).imag]
            ahead = [c for c in every if not complex(c).imag and c.real > 0]
            behind = [c for c in every if not complex(c).imag and c.real < 0]
            if len(beside) >= _POINTS or min(len(ahead), len(behind)) >= _POINTS:
                return max(abs(c) for c in (*beside, *ahead, *behind))
        return 0.0

    def _added(self, other: Any, sign: float) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented  # it asks for each of its entries
        if isinstance(other, complex):
            if other.real == 0 and not isinstance(other, _Derived):
                Told.steps.append((abs(other.imag), self.value))
            if not isinstance(other, _Derived):
                self._shifted(sign * other)
            return _Derived(self.value + sign * other)
        if self.place is not None and type(other) is not Told:
            variable, entry = self.place
            move = Moved(entry, sign * float(other), Told.time)
            Told.moves.setdefault(variable, []).append(move)
        plain = _plain(other)
        found = _made(lambda: self.value + sign * plain)
        if type(other) is Told:
            return found
        self._shifted(sign * plain)
        return self._on_line(found, self.line[0], self.line[1] + sign * plain)

    def __add__(self, other: Any) -> Any:
        return self._added(other, 1.0)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._added(other, -1.0)

    def __rsub__(self, other: Any) -> Any:
        # Not a step: ``1 - p`` is what formulas have.
        difference = self._on_line(Told(self.value), *self.line)._added(other, -1.0)
        return difference if difference is NotImplemented else -difference

    def __neg__(self) -> Any:
        return self._times(-1.0, _made(lambda: -self.value))

    def __pos__(self) -> Any:
        return self._times(1.0, _made(lambda: self.value))

    def _times(self, factor: Any, found: Any) -> Any:
        """What came of it times a factor: on the line with it, if that is a constant."""
        if isinstance(factor, float | int):
            return self._on_line(found, factor * self.line[0], factor * self.line[1])
        return found

    def __mul__(self, other: Any) -> Any:
        return self._times(other, _product(self, other))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        found = _quotient(self, other)
        constant = isinstance(other, float | int) and other
        return self._times(1 / other, found) if constant else found

    def __float__(self) -> float:
        Told.left = Told.left or self.place is not None
        return self.value

    def __complex__(self) -> complex:
        return complex(float(self))

    def __int__(self) -> int:
        return int(float(self))

    def __bool__(self) -> bool:
        return bool(self.value)

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return repr(self.value)

    def conjugate(self) -> Told:
        return self

    @property
    def real(self) -> Told:
        return self

    @property
    def imag(self) -> float:
        return 0.0


class _Derived(complex):
    """A complex number that came of the given ones, and is no constant; nor is what comes of it."""


def _made(compute: Callable[[], Any]) -> Any:
    Told.time += 1
    if Told.time > _MOST_WORK:
        raise Enough
    try:
        found = compute()
    except (ArithmeticError, ValueError):
        return Told(math.nan)
    return _Derived(found) if isinstance(found, complex) else Told(found)


def _in_turn(moves: Iterable[Moved], entries: int, forward: int) -> float:
    """The size of steps to so many entries of a variable, one entry after the other; else 0."""
    if entries < _FEWEST or not forward:
        return 0.0
    by_size = defaultdict(list)
    for move in moves:
        by_size[move.by].append(move)
    zeros = sorted(move.time for move in by_size.pop(0.0, ()))
    every = [move for found in by_size.values() for move in found]
    for found in (*by_size.values(), every):
        first: dict[int, Moved] = {}
        for move in found:
            first.setdefault(move.entry, move)
        if len(first) < min(entries, _ENOUGH):
            continue
        times = sorted(move.time for move in first.values())
        one_by_one = all(then - now >= _WHOLE * forward for now, then in pairwise(times))
        if one_by_one or _at_once(times, zeros, entries, forward):
            return max(abs(move.by) for move in first.values())
    return 0.0


def _along(moves: Iterable[Moved], entries: int, forward: int) -> float:
    """The size of steps along so many independent directions, each of several entries at once;
    else 0.  Who adds the same to all numbers, or a part of it, goes along one.
    """
    if entries < _FEWEST or not forward:
        return 0.0
    steps: list[dict[int, Moved]] = [{}]
    for move in moves:
        if move.entry in steps[-1]:
            steps.append({})
        steps[-1][move.entry] = move
    enough = min(entries, _ENOUGH)
    found = np.zeros((0, entries))
    last, seen = -math.inf, set[bytes]()
    for step in steps:
        time = min((move.time for move in step.values()), default=0)
        if sum(move.by != 0 for move in step.values()) < _SEVERAL or time - last < _WHOLE * forward:
            continue
        direction = np.zeros((1, entries))
        direction[0, list(step)] = [move.by for move in step.values()]
        if direction.tobytes() in seen or not np.isfinite(direction).all():
            continue
        seen.add(direction.tobytes())
        longer = np.concatenate([found, direction])
        if np.linalg.matrix_rank(longer) == len(longer):
            found, last = longer, time
        if len(found) == enough:
            return float(np.abs(found).max())
        if len(seen) == _MOST_DIRECTIONS:
            break
    return 0.0


def _at_once(times: Sequence[int], zeros: Sequence[int], entries: int, forward: int) -> bool:
    """Whether unit vectors were added, one beside the other, for as many forward passes at once."""
    passes = (Told.time - times[0]) / (_WHOLE * forward) >= entries
    beside = (bisect_left(zeros, then) - bisect_right(zeros, now) for now, then in pairwise(times))
    return passes and all(count >= entries - 1 for count in beside)


def _plain(other: Any) -> float:
    return other.value if type(other) is Told else float(other)


def _binary(function: Callable[[Any, Any], Any], *, swapped: bool = False) -> Any:
    def operation(self: Told, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        plain = other if isinstance(other, complex) else _plain(other)
        first, second = (plain, self.value) if swapped else (self.value, plain)
        return _made(lambda: function(first, second))

    return operation


def _derived(function: Callable[..., Any]) -> Any:
    def operation(self: _Derived, *others: Any) -> Any:
        try:
            found = function(self, *others)
        except (ArithmeticError, ValueError):
            return _Derived(complex(math.nan, math.nan))
        return _Derived(found) if isinstance(found, complex) else found

    return operation


def _compared(function: Callable[[Any, Any], bool]) -> Any:
    return lambda self, other: function(self.value, other.value if type(other) is Told else other)


def _unary(function: Callable[[float], float]) -> Any:
    return lambda self: _made(lambda: function(self.value))


_product, _quotient = _binary(operator.mul), _binary(operator.truediv)
Told.__rtruediv__ = _binary(operator.truediv, swapped=True)  # type: ignore[attr-defined]
for _name in ("pow", "floordiv", "mod"):
    setattr(Told, f"__{_name}__", _binary(getattr(operator, _name)))
    setattr(Told, f"__r{_name}__", _binary(getattr(operator, _name), swapped=True))
Told.__abs__ = _unary(abs)  # type: ignore[attr-defined]
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Told, f"__{_name}__", _compared(getattr(operator, _name)))
for _name in ("add", "sub", "mul", "truediv", "pow"):
    for _side in ("", "r"):
        setattr(_Derived, f"__{_side}{_name}__", _derived(getattr(complex, f"__{_side}{_name}__")))
for _name in ("__neg__", "__pos__", "conjugate"):
    setattr(_Derived, _name, _derived(getattr(complex, _name)))
# The methods by which NumPy evaluates a function at an object.
for _name in ("exp", "log", "sqrt", "tanh", "sinh", "cosh", "sin", "cos", "tan"):
    setattr(_Derived, _name, _derived(getattr(cmath, _name)))
for _name in ("exp", "log", "sqrt", "tanh", "sinh", "cosh", "sin", "cos", "tan", "log1p", "expm1"):
    setattr(Told, _name, _unary(getattr(math, _name)))
for _name, _function in {"square": lambda x: x * x, "reciprocal": lambda x: 1 / x}.items():
    setattr(Told, _name, _unary(_function))
for _name, _inverse in {"arctan": math.atan, "arcsin": math.asin, "arccos": math.acos}.items():
    setattr(Told, _name, _unary(_inverse))


def told(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], tuple[int, ...]]:
    """The same arrays, those of reals with entries that take note; and how many these have."""
    Told.steps, Told.moves, Told.time, Told.left = [], {}, 0, False
    Told.shifts = {}
    found: dict[str, np.ndarray] = {}
    sizes: list[int] = []
    for name, array in arrays.items():
        if array.dtype.kind == "f":
            entries = np.empty(array.shape, dtype=object)
            for entry, index in enumerate(np.ndindex(array.shape)):
                entries[index] = Told(float(array[index]), (len(sizes), entry))
            sizes.append(array.size)
            array = entries
        found[name] = array
    return found, tuple(sizes)
