"""Whether an error is rounding: rounding is another one wherever the numbers are others.

Code may round more than any bound from the reference knows: a term that is zero by algebra, as
the sum of what is left of a mean, is noise that the code may multiply by something large.  The
code is run at a few points close by.  A mistake keeps its size and its sign there; rounding is
drawn anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gradtool.check.bind import Binding
from gradtool.check.compare import Outcome
from gradtool.check.probes import Probe
from gradtool.check.reference import Reference
from gradtool.check.session import CheckTrouble, Session
from gradtool.numeric.shake import Shake

if TYPE_CHECKING:
    from gradtool.check.measure import Point

_MOST = 64.0  # times the bound; a difference in place of a derivative is noise, too, and more of it
_CLOSE = 1e-8  # relative; far from any kink, and every last digit is another
_CHEAP = 1_000_000  # scalar operations of a point that is run again a few times
_RARE = 4  # a gradient that is wrong at one point of so many may be right but for rounding
_RUNS = 12
_SURE = 6.0  # standard errors of the mean: Student's t with 11 degrees of freedom, 1 in 10,000


def cleared_of_noise(
    session: Session, reference: Reference, binding: Binding, points: list[Point], seed: int
) -> list[Point]:
    """The points, those gradients right that are off by rounding only.

    Only where a gradient is right nearly everywhere: what is off everywhere is a difference in
    place of a derivative, or a mistake.
    """
    names = {name for point in points for name in point.gradients}
    wrong = {n: [p for p in points if n in p.gradients and not p.gradients[n].right] for n in names}
    few = {n for n, found in wrong.items() if found and _RARE * len(found) <= len(points)}
    if not few or binding.scale:
        return points
    return [
        _cleared(session, reference, binding, point, few, seed)
        if any(_is_doubtful(point.gradients[n]) for n in few if n in point.gradients)
        else point
        for point in points
    ]


def _cleared(
    session: Session,
    reference: Reference,
    binding: Binding,
    point: Point,
    names: Collection[str],
    seed: int,
) -> Point:
    if point.probe.setting.work > _CHEAP:
        return point
    read = {n: v for n, v in point.values.items() if n not in point.probe.values}
    asked = {n: o for n, o in point.gradients.items() if n in names}
    found = _without_noise(session, reference, binding, point.probe, read, asked, seed)
    return replace(point, gradients={**point.gradients, **found})


def _is_doubtful(outcome: Outcome) -> bool:
    """Whether an array is wrong by so little that rounding may be all that there is."""
    worst = outcome.worst
    return (
        not outcome.right
        and not outcome.message
        and not outcome.single
        and worst is not None
        and worst.error <= _MOST * worst.bound
    )


def _without_noise(
    session: Session,
    reference: Reference,
    binding: Binding,
    probe: Probe,
    read: Mapping[str, np.ndarray],
    outcomes: Mapping[str, Outcome],
    seed: int,
) -> dict[str, Outcome]:
    """The gradients' outcomes, those right whose error is rounding.

    `read` is what the code drew itself at this probe, which it draws again.
    """
    doubtful = [name for name, outcome in outcomes.items() if _is_doubtful(outcome)]
    errors = _errors(session, reference, binding, probe, read, doubtful, seed) if doubtful else {}
    found = dict(outcomes)
    for name, runs in errors.items():
        outcome = outcomes[name]
        assert outcome.array is not None
        assert outcome.bound is not None
        right = reference.evaluate({**probe.values, **read}, probe.upstream, probe.given)[1][name]
        first = np.abs(outcome.array - right)
        off = ~(first <= outcome.bound)
        mean, spread = runs.mean(axis=0), runs.std(axis=0, ddof=1)
        if np.all(np.abs(mean[off]) <= _SURE * spread[off] / np.sqrt(_RUNS)):
            found[name] = replace(outcome, right=True, bound=np.maximum(outcome.bound, first))
    return found


def _errors(
    session: Session,
    reference: Reference,
    binding: Binding,
    probe: Probe,
    read: Mapping[str, np.ndarray],
    names: Collection[str],
    seed: int,
) -> dict[str, np.ndarray]:
    """The errors of gradients at points close by, stacked; none where the code fails at one."""
    free = [v.name for v in reference.spec.variables if v.differentiable and v.name in probe.values]
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for number in range(_RUNS):
        move = Shake(number, _CLOSE).moving()
        close = replace(probe, values={**probe.values, **{n: move(probe.values[n]) for n in free}})
        try:
            run = session.evaluate(
                close.arrays, close.scalars, seed=seed, max_bytes=close.max_bytes
            )
        except CheckTrouble:
            return {}
        _, right = reference.evaluate({**close.values, **read}, close.upstream, close.given)
        for name, runs in found.items():
            value = run.gradients.get(name)
            if run.trouble or value is None or value.array is None:
                return {}
            if value.array.size != right[name].size:
                return {}
            runs.append(value.array.reshape(right[name].shape) - right[name])
    return {name: np.stack(runs) for name, runs in found.items()}
