"""How far a right answer may lie from the reference: measured, not guessed.

The reference is evaluated again with its inputs, its upstream gradient and every value that it
keeps for the backward pass moved by one unit in the last place: what moves that much is not
known better than that.  The same is done with the unit of float32 where code is known to work in
it.  On doubt the reference is evaluated with more digits, in float32, and line by line by the
chain rule with every line moved: a reference that is inaccurate itself, or that has simplified
away what rounds, must not make right code wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Protocol, TypeAlias

import numpy as np

from gradtool.check.reference import Reference
from gradtool.numeric.shake import Arrays, Shake

EPS = float(np.finfo(np.float64).eps)
_UNITS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23}
_LONGER = "longdouble" if np.finfo(np.longdouble).eps < EPS else ""
_SHAKES = 2
_MORE_SHAKES = range(_SHAKES, 10)  # on doubt: two parts of an entry may move against each other
_FEW = 2  # of them are looked at first
_SHRUNK = EPS / _UNITS["float32"]
_ALONE = 10_000  # numbers: fewer are multiplied and added by one thread
CLEARLY = 1e3  # times the bound of these few: no bound of more would reach that far
_WIDER = 4.0  # times the spacing of a shorter type: what lies that close to a kink may cross it
_CHEAP = 1_000_000  # scalar operations of a reference that is evaluated more often on doubt
_FACTOR = 16.0  # rounding inside an algorithm, against rounding of what goes into it
_PER_ROOT = 0.5  # a long sum, added up one by one: a random walk
_PER_TERM = 0.25  # equal terms, added up one by one: they round the same way each time
_SINGLE = 0.3  # of factor and floor, where the rounding of the formula itself was looked at
_TYPICAL = 0.25  # of what is typical; a single entry can stand still by chance
_FAR, _BEYOND = 1e-8, 1e3  # of the values, and times the median: no rounding moves that far
_FLOOR = 32.0  # units in the last place of a typical entry
_ZERO = 4.0  # for what is zero: units of the largest upstream gradient, of 1 for an output

Pair: TypeAlias = tuple[Arrays, Arrays]
Moved: TypeAlias = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


def unit(dtype: str) -> float:
    """The relative spacing of a type of numbers; that of float64 for all others."""
    return _UNITS.get(dtype, EPS)


@dataclass(frozen=True, slots=True)
class Bounded:
    """The right outputs and gradients by name, and for each entry how far off is still right."""

    outputs: Arrays
    gradients: Arrays
    output_bounds: Arrays
    gradient_bounds: Arrays


@dataclass(frozen=True, slots=True)
class Expected:
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
    _made: dict[str, Bounded] = field(default_factory=dict, compare=False, repr=False)
    _finite: list[bool] = field(default_factory=list, compare=False, repr=False)

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
            most = _most(right, self._shaken(eps))
            rounded = self._in("float32")
            if rounded is not None:
                more = [_stretched(right, rounded, eps / _UNITS["float32"])]
                most = _most(right, more, most)
            self._made[dtype] = _bounded(
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
            most = _most(right, [double], self._moves)
            most = _most(double, self._lines_shaken(_MORE_SHAKES), most)
            rounded = self._in("float32")
            if rounded is not None:
                most = _most(right, [_stretched(double, rounded, _SHRUNK)], most)
            self._made["careful"] = _bounded(right, most, self.upstream, EPS, self.work, self._long)
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
        right, rounded = _only((self.outputs, self.gradients), name), _only(rounded, name)
        if not all(bool(np.isfinite(array).all()) for found in rounded for array in found.values()):
            return None
        most = _most(right, [_stretched(right, rounded, _SHRUNK)], _only(self._moves, name))
        most = _most(right, self._lines_shaken(_MORE_SHAKES[:_FEW]), most)
        # The floor of what is zero is that of all gradients.
        return _bounded(
            right, most, self.upstream, EPS, self.work, self._long, among=self.gradients
        )

    def _lines_shaken(self, numbers: range) -> Iterable[Pair]:
        return self._shaken(EPS, numbers, every_line=True) if self.work <= _CHEAP else ()

    def _either_side(self, dtype: str) -> Bounded:
        key = f"careful {dtype}"
        if key not in self._made:
            near = self.single(dtype)
            eps = unit(dtype)
            right = self.outputs, self.gradients
            most = _most(right, self._shaken(_WIDER * eps, _MORE_SHAKES))
            moves = [{n: m / _WIDER for n, m in found.items()} for found in most]
            far = _bounded(
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


@dataclass(frozen=True, slots=True)
class Fixed:
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
    shakes = (Shake(seed * _MORE_SHAKES.stop + number, EPS) for number in range(_SHAKES))
    most = _most(right, _shaken(reference, values, upstream, sizes, shakes))
    double = _bounded(right, most, upstream, EPS, work)
    return Expected(reference, values, upstream, sizes, seed, work, double, most)


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


def _only(pair: Pair, name: str) -> Moved:
    """One output or gradient."""
    one, other = ({n: array for n, array in found.items() if n == name} for found in pair)
    return one, other


def _stretched(double: Pair, rounded: Pair, by: float) -> Pair:
    """The error of another precision, as large as it would be in the precision asked for."""

    def moved(right: Arrays, other: Arrays) -> dict[str, np.ndarray]:
        with np.errstate(all="ignore"):
            errors = {n: (other[n] - v) * by for n, v in right.items()}
        # What overflows in a shorter type says nothing.
        return {n: right[n] + np.where(np.isfinite(e), e, 0.0) for n, e in errors.items()}

    return moved(double[0], rounded[0]), moved(double[1], rounded[1])


def _most(right: Pair, moved: Iterable[Pair], before: Moved | None = None) -> Moved:
    """The largest move of every entry; the moves are taken one by one, to save memory."""
    most: Moved = (dict(before[0]), dict(before[1])) if before else ({}, {})
    mine: set[tuple[int, str]] = set()
    with np.errstate(all="ignore"):
        for pair in moved:
            for role, (found, centre, other) in enumerate(zip(most, right, pair, strict=True)):
                for name, value in centre.items():
                    move = np.asarray(other[name] - value)
                    np.abs(move, out=move)
                    known = found.get(name)
                    if known is None:
                        found[name] = move
                    elif (role, name) in mine and known.dtype == move.dtype:
                        np.maximum(known, move, out=known)
                    else:
                        found[name] = np.asarray(np.maximum(known, move))
                    mine.add((role, name))
    return most


def _bounded(
    right: Pair,
    most: Moved,
    upstream: Arrays,
    eps: float,
    work: int,
    terms: float = 0.0,
    share: float = 1.0,
    among: Arrays | None = None,
) -> Bounded:
    """What is right, with its bounds; `among` are all gradients where `right` has only some."""
    with np.errstate(all="ignore"):
        typical = [{n: rms(v) for n, v in found.items()} for found in right]
        zero = _ZERO * eps * max((_largest(u) for u in upstream.values()), default=1.0)
        sizes = typical[1].values() if among is None else map(rms, among.values())
        zero = max([zero, *(eps * size for size in sizes)])
        bounds = [
            {
                n: _bound(v, size[n], moves.get(n), eps, floor, work, terms, share)
                for n, v in found.items()
            }
            for found, size, moves, floor in zip(
                right, typical, most, (_ZERO * eps, zero), strict=True
            )
        ]
    return Bounded(*right, *bounds)


def _bound(
    value: np.ndarray,
    size: float,
    most: np.ndarray | None,
    eps: float,
    zero: float,
    work: int,
    terms: float,
    share: float,
) -> np.ndarray:
    """The bound of every entry; `size` is the value's `rms`."""
    floor = share * _FLOOR * eps * size + zero
    if most is None:
        return np.full(value.shape, floor)
    factor = share * _FACTOR + _PER_ROOT * sqrt(work / max(value.size, 1)) + _PER_TERM * terms
    bound = np.asarray(np.maximum(most, _TYPICAL * _typical(most, size)))
    bound *= factor
    bound += floor
    # Where the slightest move gives no number, as beside a division by zero, no bound is known.
    if bound.size and np.isnan(bound.max()):
        bound[np.isnan(bound)] = np.inf
    return bound


def _typical(most: np.ndarray, size: float) -> float:
    """A typical move, of those entries that no kink moves by all they are."""
    usual = rms(most)
    if usual <= _FAR * size:
        return usual
    moved = most[most > 0]
    return rms(moved[moved <= _BEYOND * float(np.median(moved))]) if moved.size else usual


def rms(value: np.ndarray) -> float:
    """The root of the mean square of the finite entries; 0 when there are none."""
    if not value.size:
        return 0.0
    flat = value.ravel()
    # Not BLAS where it has threads: on a busy machine they wait for each other, a hundred times
    # longer.
    total = flat.dot(flat) if flat.size < _ALONE else np.einsum("i,i->", flat, flat)
    mean = float(total) / flat.size
    if not np.isfinite(mean):
        flat = flat[np.isfinite(flat)]
        largest = float(np.max(np.abs(flat), initial=0.0))
        return largest * float(np.sqrt(np.mean(np.square(flat / largest)))) if largest else 0.0
    return sqrt(mean)


def _largest(value: np.ndarray) -> float:
    return float(np.max(np.abs(value))) if value.size else 0.0
