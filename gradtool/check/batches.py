"""The batch that comes second: its sizes and values, and when two answers are alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradtool.check.answers import Run
from gradtool.check.bind import Binding
from gradtool.check.compare import Role, by_role, is_near
from gradtool.check.facts import Case
from gradtool.check.measure import Point, compared, everything_of
from gradtool.check.probes import Probe, make_probe
from gradtool.check.recall import recall_of
from gradtool.check.reference import Reference
from gradtool.check.shown import Mistake
from gradtool.records import replace

_NUMBER = 700  # of the probe
_ENOUGH = 5_000  # scalar operations, with so many entries that a few of each kind are among them
# Relative: float32 differs by less where a sum is in another order, a batch is another by more.
_OTHER, _NOTHING = 1e-4, 1e-9


def point_of(points: Sequence[Point]) -> Point | None:
    """The point whose sizes are looked at again: of the small ones the largest."""
    small = [p for p in points if p.probe.setting.work <= _ENOUGH]
    usual = [p for p in small if not p.probe.setting.constants] or small
    return max(usual, key=lambda p: p.probe.setting.work, default=points[0] if points else None)


def probe_of(reference: Reference, binding: Binding, first: Probe, seed: int) -> Probe:
    """Other values at the sizes of a probe, and other weights; a number alone stays what it is."""

    def made() -> Probe:
        other = make_probe(reference, binding, first.setting, _NUMBER, seed)
        # The object got a number by value, and cannot see another.
        numbers = [n for n in _parameters(reference, first) if not first.values[n].ndim]
        values = {**other.values, **{n: first.values[n] for n in numbers}}
        return replace(other, values=values, varies="another batch of the same sizes")

    return recall_of(reference).of(("second batch", id(first), seed), made, holding=first)


def parameters(reference: Reference, probe: Probe) -> list[str]:
    """The parameters with values that are arrays: an object sees when they change."""
    return [n for n in _parameters(reference, probe) if probe.values[n].ndim]


def _parameters(reference: Reference, probe: Probe) -> list[str]:
    variables = reference.spec.variables
    return [v.name for v in variables if v.role == "parameter" and v.name in probe.values]


def array_of(run: Run, role: Role, name: str) -> np.ndarray | None:
    value = by_role(run, role).get(name)
    return value.array if value is not None else None


def near(got: np.ndarray | None, right: np.ndarray | None, probe: Probe) -> bool:
    """Whether two arrays are one but for rounding; nothing is near where nothing is."""
    if right is None or got is None:
        return right is None and got is None
    sizes = (float(np.max(np.abs(u), initial=0.0)) for u in probe.upstream.values())
    return is_near(got, right, _OTHER, _NOTHING * max(sizes, default=0.0))


def same(one: Run, other: Run, name: str) -> bool:
    first, second = array_of(one, "output", name), array_of(other, "output", name)
    return first is not None and second is not None and np.array_equal(first, second)


def by_chance(masks: Sequence[np.ndarray]) -> float:
    """How likely masks are that are equal to other ones of as many entries."""
    entries = sum(mask.size for mask in masks)
    share = sum(int(np.count_nonzero(mask)) for mask in masks) / max(entries, 1)
    return float((share**2 + (1 - share) ** 2) ** entries)


def mistakes_of(case: Case, point: Point, run: Run) -> list[Mistake]:
    """What a run gave, at the values of a point, that is neither like there nor right."""
    off = [
        (role, name)
        for role, name, _ in everything_of(point)
        if not near(array_of(run, role, name), array_of(point.run, role, name), point.probe)
    ]
    if not off or run.trouble is not None:
        return []
    # What the code draws itself is another one, and what is right depends on it.
    there = compared(case.reference, case.binding, point.probe, run, case.seed)
    outcomes = {(role, name): outcome for role, name, outcome in everything_of(there)}
    found = [(role, name, outcomes.get((role, name))) for role, name in off]
    return [
        Mistake(role, name, "", outcome.worst if outcome else None)
        for role, name, outcome in found
        if outcome is None or not outcome.right
    ]
