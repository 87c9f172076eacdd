"""Whether the errors of an array are those of float32, proved and not supposed.

Code that works in float32 inside and returns float64 is right, and is judged as float32.  A
difference of two forward passes has errors of the same size, so size proves nothing.  What proves
it: the code's forward is float32; or every number that it returned is a number of float32; or the
code is exact with its float32 numbers read as float64 (see `varied`).  A framework makes float32
numbers that no text shows; there the errors must jump when the inputs move by more than the
spacing of float32, and stand still when they move by much less, as rounding to float32 does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gradtool.check.bounds import rms
from gradtool.check.compare import SINGLE, Role, arrays_of
from gradtool.check.facts import Case, again, outcome_of
from gradtool.check.measure import Point
from gradtool.records import replace

_FINE, _COARSE = 2.0**-40, 2.0**-20  # moves far below and far above the spacing of float32
_STILL, _MOVED = 0.1, 0.3  # of the error
_POWER = 2.0**-7
_SPREAD = 0.1  # rounding is everywhere; an error in a few entries is none
_TRIALS = 2
_FEWEST = 3  # numbers that could be float32 by chance are no evidence
_MOST_WORK = 2000  # scalar operations of a point that is evaluated many times
_PROOFS = 3  # points at which the pattern is looked at


def is_single(case: Case, role: Role, name: str, wrong: Sequence[Point]) -> bool:
    """Whether an array that is wrong at some points is right as float32."""
    for point in wrong:
        outcome = outcome_of(point, role, name)
        if outcome is None or outcome.array is None or outcome.message or outcome.single:
            return False
        right, bound = arrays_of(point.expected.single(), role, name)
        if not np.all(np.abs(outcome.array - right) <= bound):
            return False
        close = arrays_of(point.expected.double, role, name)[1]
        if np.mean(np.abs(outcome.array - right) > close) < _SPREAD:
            return False
    if _are_representable(case, role, name):
        return True
    cheap = [p for p in wrong if p.probe.setting.work <= _MOST_WORK] or wrong[:1]
    telling = sorted(cheap, key=lambda p: -_size(p, role, name))[:_PROOFS]
    if all(_has_single_forward(point) for point in wrong):
        return all(not _is_noise(case, role, name, point) for point in telling)
    if case.session.varies and not case.session.frameworks:
        return case.varied.is_single(role, name, wrong)
    # Saturated, a layer has errors that stand still whatever they come from.
    patterns = [_is_rounding(case, role, name, point) for point in telling]
    if 2 * sum(patterns) <= len(patterns):
        return False
    clear = telling[patterns.index(True)]
    return role == "output" or case.is_loss or _is_relative(case, name, clear)


def _size(point: Point, role: Role, name: str) -> int:
    outcome = outcome_of(point, role, name)
    return 0 if outcome is None or outcome.array is None else min(outcome.array.size, 1000)


def _has_single_forward(point: Point) -> bool:
    outputs = [point.run.outputs[n] for n in point.outputs if n in point.run.outputs]
    return bool(outputs) and all(value.dtype in SINGLE for value in outputs)


def _are_representable(case: Case, role: Role, name: str) -> bool:
    """Whether every number at every point is one of float32, and there are some."""
    outcomes = [outcome_of(point, role, name) for point in case.measured.points]
    arrays = [o.array.ravel() for o in outcomes if o is not None and o.array is not None]
    numbers = np.concatenate(arrays) if arrays else np.empty(0)
    with np.errstate(all="ignore"):
        fits = numbers.astype(np.float32) == numbers
    return bool(np.count_nonzero(numbers) >= _FEWEST) and bool(np.all(fits))


def _is_noise(case: Case, role: Role, name: str, point: Point) -> bool:
    """Whether the errors are other ones at every slightest move of the inputs."""
    changes = [_change(case, role, name, point, _FINE, trial) for trial in range(_TRIALS)]
    return all(change is None or change > _STILL for change in changes)


def _is_rounding(case: Case, role: Role, name: str, point: Point) -> bool:
    fine = [_change(case, role, name, point, _FINE, trial) for trial in range(_TRIALS)]
    if min((c for c in fine if c is not None), default=np.inf) > _STILL:
        return False
    coarse = [_change(case, role, name, point, _COARSE, trial) for trial in range(_TRIALS)]
    return max((c for c in coarse if c is not None), default=0.0) > _MOVED


def _is_relative(case: Case, name: str, point: Point) -> bool:
    """Whether the errors halve with the upstream gradient, as those of a shorter mantissa do.

    Decimals that are cut off stay as they are.
    """
    upstream = {n: u * _POWER for n, u in point.probe.upstream.items()}
    other = again(case, replace(point.probe, upstream=upstream))
    before = _error(point, "gradient", name)
    after = _error(other, "gradient", name) if other else None
    if before is None or after is None:
        return False
    return rms(after / _POWER - before) < _STILL * rms(before)


def _change(
    case: Case, role: Role, name: str, point: Point, share: float, trial: int
) -> float | None:
    """How much of the error changes when every input moves by up to `share` of itself."""
    rng = np.random.default_rng([case.seed, point.probe.number, trial])

    def moved(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {
            name: v * (1 + share * rng.uniform(-1, 1, v.shape)) if v.dtype.kind == "f" else v
            for name, v in values.items()
        }

    # Code that is not given the upstream gradient of its loss takes it for 1.
    given = {
        n: u for n, u in point.probe.upstream.items() if u.ndim or case.binding.mentions(f"d{n}")
    }
    upstream = {**point.probe.upstream, **moved(given)}
    probe = replace(point.probe, values=moved(point.probe.values), upstream=upstream)
    other = again(case, probe)
    before, after = _error(point, role, name), _error(other, role, name) if other else None
    if before is None or after is None or before.shape != after.shape:
        return None
    return rms(after - before) / (rms(before) or 1.0)


def _error(point: Point, role: Role, name: str) -> np.ndarray | None:
    outcome = outcome_of(point, role, name)
    if outcome is None or outcome.array is None:
        return None
    return np.asarray(outcome.array - arrays_of(point.expected.double, role, name)[0])
