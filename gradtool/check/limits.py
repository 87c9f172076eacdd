"""Gradients that are held to a limit: entry by entry, or their norm.  Courses ask for both.

Such a limit belongs to the gradient, and stays what it is where the gradient is larger still.  A
forward pass that is held to one instead (a logit that is cut off, a variance with a floor) gives
gradients that stand still or are too short as well, until the upstream gradient or the number of
samples is another one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from gradtool.check.facts import Case, again
from gradtool.check.measure import Point
from gradtool.check.probes import Probe, free_upstream, scaled
from gradtool.check.scale import ratio

_FURTHER, _STILL = 4.0, 1e-5  # a norm that is held may be guarded: 5 / (norm + 1e-6)


def clipped(point: Point, name: str, least: float = 1.0) -> float | None:
    """The limit at which the wrong entries stand still, when that is all that is wrong.

    The largest right one has to be more than `least` times as large.
    """
    outcome, right = point.gradients[name], point.expected.gradients[name]
    if outcome.array is None or outcome.bound is None:
        return None
    off = np.abs(outcome.array - right) > outcome.bound
    held, sizes = np.abs(outcome.array[off]), np.abs(right[off])
    if not held.size or np.any(held != held[0]):
        return None
    limit = float(held[0])
    return None if np.any(sizes <= limit) or np.max(sizes) <= least * limit else limit


def is_scaled_down(point: Point, name: str) -> bool:
    """Whether a gradient is the right one, made shorter: as code does that limits its norm."""
    outcome = point.gradients[name]
    if outcome.array is None or outcome.bound is None:
        return False
    factor = ratio(outcome.array, point.expected.gradients[name], outcome.bound)
    return factor is not None and 0 < factor < 1


def further(case: Case, probe: Probe) -> Point | None:
    """Where a limit of a gradient shows itself as one: with a larger upstream gradient.

    A loss has none, and is looked at with another number of samples.  None where nothing can be
    asked.
    """
    given = free_upstream(case.binding, probe)
    if given:
        more = {name: _FURTHER * probe.scale.get(name, 1.0) for name in given}
        return again(case, scaled(case.first, {**probe.scale, **more}, probe.varies))
    sizes = case.first.setting.sizes
    for point in case.measured.points:
        own = point.probe.setting
        if own.work <= _FURTHER * case.first.setting.work and own.sizes != sizes:
            return again(case, scaled(point.probe, probe.scale, probe.varies))
    return None


def is_clip(case: Case, point: Point, name: str, limit: float) -> bool:
    """Whether what stands still at `limit` is cut off there whatever is asked for."""
    other = further(case, point.probe)
    if other is None or name not in other.gradients or other.gradients[name].right:
        return True
    found = clipped(other, name)
    return found is not None and is_one([limit, found])


def is_norm(case: Case, point: Point, name: str) -> bool:
    """Whether what is too short has a norm that is held, alone or with the other gradients."""
    other = further(case, point.probe)
    if other is None or name not in other.gradients or other.gradients[name].right:
        return True
    both = (point, other)
    return any(is_one([norm(p, names) for p in both]) for names in ((name,), point.gradients))


def norm(point: Point, names: Collection[str] | Mapping[str, object]) -> float:
    """The norm of some gradients together; not a number when one was not returned."""
    arrays = [outcome.array for n in names if (outcome := point.gradients.get(n)) is not None]
    if len(arrays) < len(names) or any(array is None for array in arrays):
        return np.nan
    return float(np.sqrt(sum(np.vdot(array, array) for array in arrays if array is not None)))


def is_one(numbers: Sequence[float]) -> bool:
    """Whether numbers are one, but for a guard."""
    return bool(max(numbers) - min(numbers) <= _STILL * max(numbers))
