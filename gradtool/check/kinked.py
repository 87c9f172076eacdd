"""Inputs at which two compared values are equal: relu at exactly zero, ties of a maximum.

There is no derivative there, and any choice between the formulas of both sides is as good as
another: none makes a gradient wrong.  The code is looked at all the same, on a coarse grid of
values, because what is not finite there, or outside of what either side gives, will be met one
day: zeros are everywhere in padded images and after a relu.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from gradtool.check.facts import Case
from gradtool.check.measure import Point, measure
from gradtool.check.probes import Probe, can_grow
from gradtool.check.recall import recall_of
from gradtool.check.reference import Reference
from gradtool.check.result import Remark

_GRID = 2.0  # values to an integer: the grid is coarse, so that many are equal
_SIDES = 12  # samples of which side of every kink is taken
_NEAR = 1e-7
_AGREE = 1e-5
_RANGE = 2.0  # times the range that was seen: sums of many kinks reach further
_MOST_WORK = 20_000


def at_kinks(case: Case) -> tuple[Remark, ...]:
    """Remarks on a case that is right wherever there is a derivative."""
    if not case.measured.points or case.first.setting.work > _MOST_WORK:
        return ()
    first, read, recall = case.first, case.read, recall_of(case.reference)
    if recall.keeps(first) and not read:
        key = ("kinks", id(first))
        found = recall.of(key, lambda: _grid(case.reference, first, read), holding=first)
    else:
        found = _grid(case.reference, first, read)
    if not found:
        return ()
    (probe,) = found
    measured = measure(case.session, case.reference, case.binding, [probe], case.seed)
    if measured.trouble is not None:
        text = f"where compared values are equal it raises {measured.trouble.message}"
        return (Remark("kink", text),)
    return tuple(_remarks(case, probe, measured.points[0])) if measured.points else ()


def _grid(reference: Reference, first: Probe, read: Mapping[str, np.ndarray]) -> tuple[Probe, ...]:
    """The first probe on the grid, when compared values are equal there; else nothing."""
    if not reference.kinks({**read, **first.values}, first.given).count:
        return ()
    free = {v.name for v in reference.spec.variables if can_grow(v)}
    values = {
        name: np.round(value * _GRID) / _GRID if name in free else value
        for name, value in first.values.items()
    }
    probe = replace(first, values=values, varies="equal values")
    return (probe,) if reference.kinks({**read, **values}, probe.given).equal else ()


def _remarks(case: Case, probe: Probe, point: Point) -> Iterator[Remark]:
    sides = None
    for name, outcome in point.gradients.items():
        right = point.expected.gradients[name]
        if outcome.right or not np.all(np.isfinite(right)):
            continue
        if not outcome.finite:
            text = f"d{name} is not finite where compared values are equal, such as a relu at 0"
            yield Remark("kink", text)
            continue
        if outcome.array is None:
            continue
        sides = sides if sides is not None else list(_sides(case, probe, point))
        every = np.stack([right, *(side[name] for side in sides)])
        low, high = every.min(axis=0), every.max(axis=0)
        slack = _RANGE * (high - low) + _AGREE * (1 + np.abs(right))
        off = (outcome.array < low - slack) | (outcome.array > high + slack)
        if np.any(off):
            place = tuple(int(i) for i in np.unravel_index(int(np.argmax(off)), off.shape))
            text = (
                f"where compared values are equal, d{name}{list(place)} is "
                f"{outcome.array[place]:.4g}; both sides give {low[place]:.4g} to {high[place]:.4g}"
            )
            yield Remark("kink", text)


def _sides(case: Case, probe: Probe, point: Point) -> Iterator[dict[str, np.ndarray]]:
    """The gradients close by, where every kink is on one side or the other by chance."""
    rng = np.random.default_rng([case.seed, 41])
    free = {v.name for v in case.reference.spec.variables if can_grow(v)}
    for _ in range(_SIDES):
        values = {
            n: v + _NEAR * rng.standard_normal(v.shape) if n in free else v
            for n, v in point.values.items()
        }
        yield case.reference.evaluate(values, probe.upstream, probe.given)[1]
