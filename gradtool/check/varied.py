"""The same file with one thing changed, as a proof of what makes a difference.

Two things that are no mistakes move numbers by more than rounding does.  Code that works in
float64 may hold a constant or a buffer in float32; and people add tiny numbers to what they divide
by or take the logarithm of.  The size of an error proves neither.  So the file is loaded once more
with its float32 numbers read as float64, or with its guards set to zero, and run at the same
points: what is then right to the last digits was off by these and by nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress

import numpy as np

from gradtool.check.answers import clean
from gradtool.check.bind import Binding
from gradtool.check.compare import Outcome, Role, arrays_of, by_role
from gradtool.check.measure import Measured, Point, bind, everything_of, is_right, measure
from gradtool.check.probes import Probe
from gradtool.check.reference import Reference
from gradtool.check.rewrite import Change
from gradtool.check.session import CheckTrouble, Session
from gradtool.check.tiny import Guard
from gradtool.records import Struct, field

_MOST = 0.05  # of an array's scale: a guard or float32 moves it by less somewhere
_DIGITS = 1e4  # times its bound
_TRIALS = 4
_NAMED = 3

Name = tuple[Role, str]


class Varied(Struct):
    """One file at its wrong points, with one thing changed at a time; each is run once."""

    reference: Reference
    session: Session
    binding: Binding
    measured: Measured
    seed: int
    _runs: dict[Change, Mapping[int, Point]] = field(default_factory=dict)
    _guards: list[Guard] | None = None
    _same: bool | None = None

    def is_single(self, role: Role, name: str, wrong: Sequence[Point]) -> bool:
        """Whether an array that is wrong at some points is so by float32 numbers alone."""
        if not self._may_be(role, name, wrong):
            return False
        for point in wrong:
            right, bound = arrays_of(point.expected.single(), role, name)
            array = by_role(point, role)[name].array
            if array is None or not np.all(np.abs(array - right) <= bound):
                return False
        return self._is_right(Change(widen=True), role, name, wrong)

    def guarded(self, role: Role, name: str, wrong: Sequence[Point]) -> str | None:
        """The guards of the file that are all that is wrong with an array: ``1e-08 in line 4``."""
        if not self._may_be(role, name, wrong):
            return None
        for chosen in self._choices():
            change = Change(numbers=tuple((g.key, 0.0) for g in chosen))
            if self._is_right(change, role, name, wrong):
                return _named(chosen)
        return None

    def held(self, role: Role, name: str, probe: Probe, *, lost: bool) -> str | None:
        """The guards that an array hangs on at a probe: it is right without them.

        Values may reach a guard there that moves nothing elsewhere: ``maximum(p, 1e-12)``.  With
        `lost` those count, too, without which it is no number.
        """
        if not self.session.varies or not self._is_same_code():
            return None
        for chosen in self._choices():
            change = Change(numbers=tuple((g.key, 0.0) for g in chosen))
            try:
                with self.session.varied(change) as other:
                    bind(other, self.reference, self.binding)
                    found = measure(other, self.reference, self.binding, [probe], self.seed)
            except CheckTrouble:
                continue
            outcomes = [o for p in found.points if (o := by_role(p, role).get(name))]
            no_number = found.trouble is not None or any(not o.finite for o in outcomes)
            if (lost and no_number) or any(map(_is_close, outcomes)):
                return _named(chosen)
        return None

    def unclipped(self, name: str, wrong: Sequence[Point]) -> bool:
        """Whether a gradient is right where nothing is cut off to an interval around zero."""
        return self.session.varies and self._is_right(Change(unclip=True), "gradient", name, wrong)

    @contextmanager
    def without_guards(self) -> Iterator[tuple[Session | None, str]]:
        """The file with no guard at all, and what they are; None where there are none."""
        with ExitStack() as stack:
            found = self._found() if self.session.varies and self._is_same_code() else []
            session: Session | None = None
            if found:
                change = Change(numbers=tuple((g.key, 0.0) for g in found))
                with suppress(CheckTrouble):
                    other = stack.enter_context(self.session.varied(change))
                    bind(other, self.reference, self.binding)
                    session = other
            yield session, _named(found)

    def other_constant(self, name: str, wrong: Sequence[Point]) -> str | None:
        """The guard that has another value in the spec, when with that an output is right."""
        if not self._may_be("output", name, wrong):
            return None
        tried = 0
        for constant, value in self.reference.constants.items():
            for guard in self._found():
                if isinstance(value, int) or guard.value in (None, float(value)):
                    continue
                tried += 1
                if tried > _TRIALS:
                    return None
                change = Change(numbers=((guard.key, float(value)),))
                if self._is_right(change, "output", name, wrong):
                    return (
                        f"{guard.text} in line {guard.line} is {constant} = {value:g} in the spec"
                    )
        return None

    def _may_be(self, role: Role, name: str, wrong: Sequence[Point]) -> bool:
        if not self.session.varies:
            return False
        outcomes = [by_role(point, role)[name] for point in wrong]
        if any(o.array is None or not o.finite or o.message or o.single for o in outcomes):
            return False
        # Where most entries are nearly zero, the rest is moved by more than their scale.
        return min((o.error for o in outcomes if o.error is not None), default=1.0) < _MOST

    def _choices(self) -> Iterator[list[Guard]]:
        """Which guards to leave out: those that are none of the spec's own; then one alone."""
        own = {float(value) for value in self.reference.constants.values()}
        found = self._found()
        foreign = [g for g in found if g.value not in own]
        alone = [[g] for g in found[:_TRIALS]]
        if len(foreign) > 1:
            yield from (choice for choice in alone if choice[0] in foreign)
            yield foreign
        elif foreign:
            yield foreign
        yield from (choice for choice in alone if choice[0] not in foreign)

    def _found(self) -> list[Guard]:
        if self._guards is None:
            try:
                told = self.session.guards()
            except CheckTrouble:
                told = []
            self._guards = [g for item in told if (g := _guard(item)) is not None]
        return self._guards

    def _is_same_code(self) -> bool:
        """Whether the file gives what was measured: functions that are loaded may be others."""
        if self._same is None:
            measured = [p for p in self.measured.points if not is_right(p)]
            there = self._run(Change()) if self.session.loaded else {}
            self._same = not self.session.loaded or all(
                (other := there.get(id(point.probe))) is not None and _gave_the_same(point, other)
                for point in measured
            )
        return self._same

    def _is_right(self, change: Change, role: Role, name: str, wrong: Sequence[Point]) -> bool:
        if not self._is_same_code():
            return False
        there = self._run(change)
        points = [there.get(id(point.probe)) for point in wrong]
        outcomes = [o for p in points if p is not None and (o := by_role(p, role).get(name))]
        return len(outcomes) == len(wrong) and all(o.right for o in outcomes)

    def _run(self, change: Change) -> Mapping[int, Point]:
        """The measurements with a change, by the identity of the probe; none where it fails."""
        if change not in self._runs:
            wrong = [point.probe for point in self.measured.points if not is_right(point)]
            self._runs[change] = {}
            try:
                with self.session.varied(change) as other:
                    bind(other, self.reference, self.binding)
                    found = measure(other, self.reference, self.binding, wrong, self.seed)
            except CheckTrouble:
                return {}
            if found.trouble is None:
                self._runs[change] = {id(p.probe): p for p in found.points}
        return self._runs[change]


def _is_close(outcome: Outcome) -> bool:
    """Right, or off by a few digits: without its guard a formula may lose some."""
    worst = outcome.worst
    few = worst is not None and outcome.finite and worst.error <= _DIGITS * worst.bound
    return outcome.right or few


def _gave_the_same(point: Point, other: Point) -> bool:
    before, after = ([o.array for _, _, o in everything_of(p)] for p in (point, other))
    if [array is None for array in before] != [array is None for array in after]:
        return False
    return all(
        np.array_equal(a, b, equal_nan=True)
        for a, b in zip(before, after, strict=True)
        if a is not None and b is not None
    )


def _named(guards: Sequence[Guard]) -> str:
    places = [f"{g.text} in line {g.line}" for g in guards[:_NAMED]]
    more = len(guards) - _NAMED
    return ", ".join(places) + (f" and {more} more" if more > 0 else "")


def _guard(item: object) -> Guard | None:
    match item:
        case [str(key), int(line), str(text), float() | int() | None as value]:
            return Guard(key, line, clean(text), value)
    return None
