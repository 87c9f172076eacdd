"""How far a right answer may lie from the reference: measured, not guessed.

The reference is evaluated again with its inputs, its upstream gradient and every value that it
keeps for the backward pass moved by one unit in the last place: what moves that much is not
known better than that.  The same is done with the unit of float32 where code is known to work in
it.  On doubt the reference is evaluated with more digits, in float32, and line by line by the
chain rule with every line moved: a reference that is inaccurate itself, or that has simplified
away what rounds, must not make right code wrong.

No bound is as wide as a kink where code works in float64: samples keep away from kinks by far more
than a unit in the last place, and `kinked` looks at the kinks themselves, masked.  Of code that
works in float32 a value may round to either side of a kink; only what depends on that is excused,
by no more than the kink moves it (`Expected.careful`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

import numpy as np

from gradtool.check.bounds import (
    EPS,
    Bounded,
    Moved,
    Pair,
    all_known,
    bounded,
    largest,
    only,
    stretched,
    unit,
)
from gradtool.check.reference import Reference
from gradtool.numeric.shake import Arrays, Shake
from gradtool.records import Struct, field

_LONGER = "longdouble" if np.finfo(np.longdouble).eps < EPS else ""
_SHAKES = 2
_MORE_SHAKES = range(_SHAKES, 10)  # on doubt: two parts of an entry may move against each other
_FEW = 1  # of them is looked at first
_SHRUNK = EPS / unit("float32")
CLEARLY = 1e3  # times the bound of these few; those of all are up to 8 times as wide
_WIDER = 4.0  # times the spacing of a shorter type: what lies that close to a kink may cross it
_CHEAP = 1_000_000  # scalar operations of a reference that is evaluated more often on doubt
_SINGLE = 0.3  # of factor and floor, where the rounding of the formula itself was looked at


class Expected(Struct, frozen=True, eq=False):
    """The reference at one point, with its bounds for float64.

    `single` and `careful` give them for other numbers and on doubt; each is made once.
    """

    reference: Reference
    values: Arrays
    upstream: Arrays
    sizes: Mapping[str, int | float]
    seed: int
    work: int
    double: Bounded
    _moves: Moved
    _made: dict[str, Bounded] = field(default_factory=dict)
    _finite: list[bool] = field(default_factory=list)

    @property
    def finite(self) -> bool:
        """Whether every right number is finite."""
        if not self._finite:
            arrays = (*self.outputs.values(), *self.gradients.values())
            self._finite.append(all(bool(np.isfinite(array).all()) for array in arrays))
        return self._finite[0]

    @property
    def outputs(self) -> Arrays:
        return self.double.outputs

    @property
    def gradients(self) -> Arrays:
        return self.double.gradients

    @property
    def output_bounds(self) -> Arrays:
        return self.double.output_bounds

    @property
    def gradient_bounds(self) -> Arrays:
        return self.double.gradient_bounds

    def single(self, dtype: str = "float32") -> Bounded:
        """With the bounds of code that works in a shorter type of numbers.

        The same formulas are evaluated in float32, too: their error is what is to be expected.
        """
        if dtype not in self._made:
            eps = unit(dtype)
            right = self.outputs, self.gradients
            most = self._moved(right, eps)
            rounded = self._in("float32")
            if rounded is not None:
                more = [stretched(right, rounded, eps / unit("float32"))]
                most = largest(right, more, most)
            self._made[dtype] = bounded(
                right, most, self.upstream, eps, self.work, self._long, _SINGLE
            )
        return self._made[dtype]

    def careful(self, dtype: str = "") -> Bounded:
        """With more digits, and bounds that allow for the inaccuracy of the formulas themselves.

        With `dtype` for code that works in that shorter type: what it rounds may lie on either
        side of a kink, and what depends on that is not held against it; the rest is.
        """
        if dtype:
            return self._either_side(dtype)
        if "careful" not in self._made:
            double = self.outputs, self.gradients
            longer = self._in(_LONGER) if _LONGER else None
            right: Pair = longer or double
            most = largest(right, [double], self._moves)
            most = largest(double, self._lines_shaken(_MORE_SHAKES), most)
            rounded = self._in("float32")
            if rounded is not None:
                most = largest(right, [stretched(double, rounded, _SHRUNK)], most)
            self._made["careful"] = bounded(right, most, self.upstream, EPS, self.work, self._long)
        return self._made["careful"]

    def doubts(self, name: str, dtype: str = "") -> Iterator[Bounded]:
        """What is right on doubt: `careful`, and before it what already shows a large error.

        `name` is that of an output or a gradient; the first bounds are of no other.  They come
        from a few of the same moves, without more digits.  Of more moves the largest is larger, by
        far less than a factor of `CLEARLY`: what is that much further out need not wait for them.
        """
        if not dtype and "careful" not in self._made:
            few = self._few(name)
            if few is not None:
                yield few
        yield self.careful(dtype)

    def _few(self, name: str) -> Bounded | None:
        """Bounds of a few moves; None where float32, which may overflow, says nothing."""
        rounded = self._in("float32")
        if rounded is None:
            return None
        right, rounded = only((self.outputs, self.gradients), name), only(rounded, name)
        if not all(bool(np.isfinite(array).all()) for found in rounded for array in found.values()):
            return None
        most = largest(right, [stretched(right, rounded, _SHRUNK)], only(self._moves, name))
        most = largest(right, self._lines_shaken(_MORE_SHAKES[:_FEW]), most)
        # The floor of what is zero is that of all gradients.
        return bounded(right, most, self.upstream, EPS, self.work, self._long, among=self.gradients)

    def _lines_shaken(self, numbers: range) -> Iterable[Pair]:
        return self._shaken(EPS, numbers, every_line=True) if self.work <= _CHEAP else ()

    def _either_side(self, dtype: str) -> Bounded:
        key = f"careful {dtype}"
        if key not in self._made:
            near = self.single(dtype)
            eps = unit(dtype)
            right = self.outputs, self.gradients
            most = self._moved(right, _WIDER * eps, _MORE_SHAKES)
            moves = [{n: m / _WIDER for n, m in found.items()} for found in most]
            far = bounded(
                right, (moves[0], moves[1]), self.upstream, eps, self.work, self._long, _SINGLE
            )
            self._made[key] = Bounded(
                *right,
                {n: np.maximum(b, far.output_bounds[n]) for n, b in near.output_bounds.items()},
                {n: np.maximum(b, far.gradient_bounds[n]) for n, b in near.gradient_bounds.items()},
            )
        return self._made[key]

    @property
    def _long(self) -> float:
        """How many equal terms one entry may be the sum of, added up one by one."""
        return float(max((n for n in self.sizes.values() if isinstance(n, int)), default=1))

    def _moved(self, right: Pair, eps: float, numbers: range = range(_SHAKES)) -> Moved:
        def shaken(shakes: Iterable[Shake]) -> Iterable[Pair]:
            return _shaken(self.reference, self.values, self.upstream, self.sizes, shakes)

        return _moves(right, shaken, self.seed * _MORE_SHAKES.stop, eps, numbers)

    def _shaken(
        self, eps: float, numbers: range = range(_SHAKES), every_line: bool = False
    ) -> Iterable[Pair]:
        first = self.seed * _MORE_SHAKES.stop
        shakes = (Shake(first + number, eps, every_line) for number in numbers)
        return _shaken(self.reference, self.values, self.upstream, self.sizes, shakes)

    def _in(self, dtype: str) -> Pair | None:
        """The reference in another type; None where it has no such arithmetic."""
        try:
            with np.errstate(all="ignore"):
                return self.reference.evaluate(self.values, self.upstream, self.sizes, dtype=dtype)
        except (TypeError, ValueError, np.linalg.LinAlgError):  # no linear algebra in long double
            return None


class Target(Protocol):
    """What an array is compared with."""

    @property
    def double(self) -> Bounded: ...

    def single(self, dtype: str = "float32") -> Bounded: ...

    def doubts(self, name: str, dtype: str = "") -> Iterator[Bounded]: ...


class Fixed(Struct, frozen=True):
    """A `Target` whose bounds are known beforehand, such as those of a difference."""

    double: Bounded

    def single(self, dtype: str = "float32") -> Bounded:
        """With bounds as much wider as the type of numbers is coarser."""
        by = unit(dtype) / EPS
        bounds = {name: bound * by for name, bound in self.double.gradient_bounds.items()}
        return Bounded({}, self.double.gradients, {}, bounds)

    def doubts(self, name: str, dtype: str = "") -> Iterator[Bounded]:
        yield self.single(dtype) if dtype else self.double


def expected(
    reference: Reference,
    values: Arrays,
    upstream: Arrays,
    sizes: Mapping[str, int | float],
    seed: int,
    work: int = 1,
) -> Expected:
    """The reference at one point, with its bounds.

    `seed` numbers the random moves; `work` counts the scalar operations of one evaluation.
    """
    with np.errstate(all="ignore"):
        right = reference.evaluate(values, upstream, sizes)

    def shaken(shakes: Iterable[Shake]) -> Iterable[Pair]:
        return _shaken(reference, values, upstream, sizes, shakes)

    most = _moves(right, shaken, seed * _MORE_SHAKES.stop, EPS, range(_SHAKES))
    double = bounded(right, most, upstream, EPS, work)
    return Expected(reference, values, upstream, sizes, seed, work, double, most)


def _moves(
    right: Pair,
    shaken: Callable[[Iterable[Shake]], Iterable[Pair]],
    first: int,
    eps: float,
    numbers: range,
) -> Moved:
    """The largest moves; where some are no numbers, those to the sides that have one.

    At the end of a domain, ``sqrt(1 - x)`` at 1, a move to one side is none.
    """
    most = largest(right, shaken(Shake(first + number, eps) for number in numbers))
    if all_known(right, most):
        return most
    sides = [Shake(first, eps, side=-1), Shake(first, eps, side=1)]
    every = [Shake(first + number, eps) for number in range(_MORE_SHAKES.stop)]
    return largest(right, shaken([*sides, *every]), most)


def _shaken(
    reference: Reference,
    values: Arrays,
    upstream: Arrays,
    sizes: Mapping[str, int | float],
    shakes: Iterable[Shake],
) -> Iterable[Pair]:
    for shake in shakes:
        with np.errstate(all="ignore"):
            yield reference.evaluate(values, upstream, sizes, shake=shake)
