"""Whether an error is rounding: rounding is another one wherever the numbers are others.

Code may round more than any bound from the reference knows: a term that is zero by algebra, as
the sum of what is left of a mean, is noise that the code may multiply by something large.  The
code is run at a few points close by.  A mistake keeps its size and its sign there; rounding is
drawn anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradtool.check.bind import Binding
from gradtool.check.compare import Outcome
from gradtool.check.probes import Probe
from gradtool.check.reference import Reference
from gradtool.check.session import CheckTrouble, Session
from gradtool.numeric.shake import Shake

_MOST = 64.0  # times the bound; a difference in place of a derivative is noise, too, and more of it
_CLOSE = 1e-8  # relative; far from any kink, and every last digit is another
_CHEAP = 1_000_000  # scalar operations of a point that is run again a few times
_RARE = 4  # a gradient that is wrong at one point of so many may be right but for rounding
_RUNS = 12
_SURE = 6.0  # standard errors of the mean: Student's t with 11 degrees of freedom, 1 in 10,000


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one probe; `values` are the probe's, with what the code drew itself."""

    probe: Probe
    values: Mapping[str, np.ndarray]
    gradients: Mapping[str, Outcome]


def cleared_of_noise(
    session: Session, reference: Reference, binding: Binding, looks: Sequence[Look], seed: int
) -> list[Mapping[str, Outcome]]:
    """The outcomes of every look, those gradients right that are off by rounding only.

    Only where a gradient is right nearly everywhere: what is off everywhere is a difference in
    place of a derivative, or a mistake.
    """
    names = {name for look in looks for name in look.gradients}
    wrong = {n: sum(not k.gradients[n].right for k in looks if n in k.gradients) for n in names}
    few = {n for n, count in wrong.items() if 0 < _RARE * count <= len(looks)}
    if not few or binding.scale:
        return [look.gradients for look in looks]
    return [_cleared(session, reference, binding, look, few, seed) for look in looks]


def _cleared(
    session: Session,
    reference: Reference,
    binding: Binding,
    look: Look,
    names: Collection[str],
    seed: int,
) -> Mapping[str, Outcome]:
    asked = {n: o for n, o in look.gradients.items() if n in names}
    if look.probe.setting.work > _CHEAP or not any(map(_is_doubtful, asked.values())):
        return look.gradients
    read = {n: v for n, v in look.values.items() if n not in look.probe.values}
    found = _without_noise(session, reference, binding, look.probe, read, asked, seed)
    return {**look.gradients, **found}


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
