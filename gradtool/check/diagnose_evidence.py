"""What a diagnosis starts from: a wrong gradient at every probe, and the right program."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import pairwise

import numpy as np

from gradtool.check.bounds import EPS, unit
from gradtool.check.diagnose_budget import Budget
from gradtool.check.diagnose_program import Array, Bench, Derived, Grain
from gradtool.check.measure import Point
from gradtool.check.reference import Reference
from gradtool.ir.errors import TooLargeError
from gradtool.records import Struct, field
from gradtool.spec.model import Variable

_SLACK = 16.0  # a wrong formula rounds otherwise than the right one
_RELATIVE = 2e-12
_TELLS = 0.1  # of the error, at most, is what an explanation leaves
_USUAL = 2
_MOST_KEPT = 2000  # entries of a gradient


class Seen(Struct, frozen=True, dict=True):
    """The user's gradient at one point: as it was returned, and what is right there."""

    number: int
    point: Point
    got: Array
    right: Array
    bound: Array
    dtype: str

    @property
    def fits_shape(self) -> bool:
        return bool(self.got.shape == self.right.shape)

    @cached_property
    def key(self) -> bytes:
        """Tells two points apart by their values."""
        digest = hashlib.blake2b(digest_size=12)
        for values in (self.point.values, self.point.probe.upstream):
            for name in sorted(values):
                digest.update(name.encode() + np.ascontiguousarray(values[name]).tobytes())
        return digest.digest()

    @cached_property
    def is_right(self) -> bool:
        return self.fits_shape and bool(np.all(np.abs(self.got - self.right) <= self.bound))


class Evidence(Struct, dict=True):
    """One wrong gradient.

    Every hypothesis is tried at `points`, which are few and small; what explains these has to
    explain the `larger` ones, too, since much comes out alike by chance at small sizes.  `calls`
    are all points at which the user's code was run, in their order.  `right` are the variables
    whose gradients are right.  `tier` chooses the grains that are looked at: 0 the usual two, 1
    the others, for mistakes that these do not explain.  `budget` is how long they may be looked
    for.
    """

    reference: Reference
    variable: Variable
    points: tuple[Point, ...]
    derived: Derived | None
    larger: tuple[Point, ...] = ()
    calls: tuple[Point, ...] = ()
    right: frozenset[str] = frozenset()
    tier: int = 0
    budget: Budget = field(default_factory=Budget)

    @property
    def name(self) -> str:
        return self.variable.name

    @property
    def label(self) -> str:
        return f"d{self.variable.name}"

    @cached_property
    def is_noise(self) -> bool:
        """Whether all that the user's code gives where it is wrong is zero but for rounding."""
        return all(_is_noise(seen) for seen in self.seen if not seen.is_right)

    @cached_property
    def seen(self) -> tuple[Seen, ...]:
        """Every finite array that the user's code gave, wrong shapes included."""
        return tuple(s for number, p in enumerate(self.points) if (s := self._seen(number, p)))

    @cached_property
    def beyond(self) -> tuple[Seen, ...]:
        """The same at the larger points."""
        numbered = enumerate(self.larger, len(self.points))
        return tuple(s for number, p in numbered if (s := self._seen(number, p)))

    def before(self, seen: Seen) -> Seen | None:
        """What the call before gave; None at the first."""
        for earlier, point in pairwise(self.calls):
            if point is seen.point:
                return self._seen(seen.number, earlier)
        return None

    def _seen(self, number: int, point: Point) -> Seen | None:
        outcome, value = point.gradients.get(self.name), point.run.gradients.get(self.name)
        if outcome is None or value is None or value.array is None:
            return None
        right = point.expected.gradients[self.name]
        bound = point.expected.gradient_bounds[self.name]
        got = outcome.array if outcome.array is not None else value.array
        if outcome.bound is not None:
            bound = outcome.bound
        return Seen(number, point, got, right, bound, value.dtype) if _is_finite(got) else None

    @cached_property
    def telling(self) -> tuple[Seen, ...]:
        """The same with the wrong ones of the right shape first, small ones leading."""
        return tuple(sorted(self.seen, key=lambda s: (s.is_right, s.got.size < 4, s.got.size)))

    @property
    def grains(self) -> tuple[Grain, ...]:
        """The grains of this tier that give this gradient and give it rightly."""
        if self.derived is None or not self.seen:
            return ()
        found: tuple[Grain, ...] = self.derived.remembered(
            f"grains {self.tier}", self.name, self._valid
        )
        return found

    def spared(self, grain: Grain, place: int) -> bool:
        """Whether a gradient that is right comes out of this line of the pass, too.

        A mistake there would make it wrong: the code has none in that line, or has it twice.
        """
        tensors = [grain.gradients[name] for name in self.right if name in grain.gradients]
        return any(place in grain.leads_to(tensor) for tensor in tensors)

    def _valid(self) -> tuple[Grain, ...]:
        assert self.derived is not None
        every = self.derived.grains
        chosen = every[:_USUAL] if self.tier == 0 else every[_USUAL:]
        return tuple(grain for grain in chosen if self._holds(grain))

    def _holds(self, grain: Grain) -> bool:
        tensor = grain.gradients.get(self.name)
        if tensor is None or grain.place(tensor) is None:
            return False
        for seen in self.telling[:2]:
            bench = self.bench(grain, seen.number)
            try:
                with np.errstate(all="ignore"):
                    found = bench.known[tensor] * bench.factor
            except TooLargeError:
                return False
            scale = float(np.max(np.abs(seen.right), initial=0.0)) + 1e-300
            if not np.all(np.abs(found - seen.right) <= 1e-9 * scale + seen.bound):
                return False
        return True

    def kept(
        self, kind: str, number: int, predict: Callable[[Seen], Array | None]
    ) -> Callable[[Seen], Array | None]:
        """`predict`, remembered for the next file that is asked at the same points.

        `kind` and `number` name the hypothesis; it must not look at what the user's code gave.
        """
        assert self.derived is not None
        memory: dict[tuple[int, bytes], Array | None] = self.derived.remembered(
            f"predictions {kind} {self.tier}", self.name, dict
        )

        def remembered(seen: Seen) -> Array | None:
            if seen.right.size > _MOST_KEPT:
                return predict(seen)
            key = number, seen.key
            if key not in memory:
                memory[key] = predict(seen)
            return memory[key]

        return remembered

    @cached_property
    def entries(self) -> int:
        return sum(s.got.size for s in self.seen)

    @cached_property
    def all_entries(self) -> int:
        """With those of the larger points."""
        return self.entries + sum(s.got.size for s in self.beyond)

    @cached_property
    def shape_fits(self) -> bool:
        return all(s.fits_shape for s in self.seen)

    @cached_property
    def benches(self) -> dict[tuple[str, int], Bench]:
        return {}

    def bench(self, grain: Grain, number: int) -> Bench:
        key = (grain.name, number)
        if key not in self.benches:
            assert self.derived is not None
            point = (*self.points, *self.larger)[number]
            self.benches[key] = Bench.at(grain, self.derived.graph, point)
        return self.benches[key]

    def residual(self, candidate: Callable[[Seen], Array | None]) -> float | None:
        """The largest difference, relative to the largest entry, when a candidate explains every
        array; else None."""
        worst = largest = 0.0
        if not self.telling or self.telling[0].is_right:
            return None
        for seen in (*self.telling, *self.beyond):
            try:
                with np.errstate(all="ignore"):
                    predicted = candidate(seen)
            except TooLargeError:
                continue  # what explains the small arrays explains the large ones, or nothing does
            found = _difference(seen, predicted)
            if found is None:
                return None
            error, scale = found
            worst, largest = max(worst, error), max(largest, scale)
        return worst / largest if largest else worst


def _is_finite(array: Array) -> bool:
    return bool(np.all(np.isfinite(array)))


def _difference(seen: Seen, predicted: Array | None) -> tuple[float, float] | None:
    """The largest error and the largest entry; None where it is no rounding."""
    if predicted is None:
        return None
    got = seen.got
    if predicted.shape != got.shape:
        if _squeezed(predicted.shape) != _squeezed(got.shape):
            return None
        predicted = predicted.reshape(got.shape)
    if not np.all(np.isfinite(predicted)):
        return None
    scale = float(np.max(np.abs(predicted), initial=0.0))
    slack = _slack(seen)
    single = unit(seen.dtype) / EPS
    error = float(np.max(np.abs(got - predicted), initial=0.0))
    if error > slack + _RELATIVE * single * scale:
        return None
    # What is as far off as the right one explains nothing: an error of 1e-13 is none of these.
    if not seen.is_right and seen.fits_shape and _distance(seen) * _TELLS < error:
        return None
    return error, scale


def _slack(seen: Seen) -> float:
    return float(np.max(seen.bound, initial=0.0)) * _SLACK


def _is_noise(seen: Seen) -> bool:
    """Whether nothing is left of a gradient but rounding.

    Everything that cancels explains that; exact zeros are another matter.
    """
    return bool(np.any(seen.got)) and bool(np.all(np.abs(seen.got) <= _slack(seen)))


def _distance(seen: Seen) -> float:
    return float(np.max(np.abs(seen.got - seen.right), initial=0.0))


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


Sizes = Mapping[str, int]
