"""Whether an error is rounding: rounding is another one wherever the numbers are others.

Code may round more than any bound from the reference knows: a term that is zero by algebra, as
the sum of what is left of a mean, is noise that the code may multiply by something large.  The
code is run at a few points close by.  A mistake keeps its size and its sign there; rounding is
drawn anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from gradtool.check.bind import Binding
from gradtool.check.compare import Outcome, Role, all_of, by_role
from gradtool.check.probes import Probe
from gradtool.check.reference import Reference
from gradtool.check.session import CheckTrouble, Session
from gradtool.numeric.shake import Shake
from gradtool.records import Struct, replace

# Times the bound.  A difference in place of a derivative is noise, too, and more of it; an output
# is none: log(1 - a) loses as many digits as a has nines.
_MOST: dict[Role, float] = {"gradient": 64.0, "output": 1e4}
_CLOSE = 1e-8  # relative; far from any kink, and every last digit is another
_CHEAP = 1_000_000  # scalar operations of a point that is run again a few times
_RARE = 4  # a gradient that is wrong at one point of so many may be right but for rounding
RUNS = 12
_SURE = 6.0  # standard errors of the mean: Student's t with 11 degrees of freedom, 1 in 10,000
_TAIL = 1 / 9  # by which power of the entries that are asked it grows, so that none of many is off


class Look(Struct, frozen=True):
    """The outputs or the gradients at one probe.

    `values` are the probe's, with what the code drew itself.
    """

    probe: Probe
    values: Mapping[str, np.ndarray]
    outcomes: Mapping[str, Outcome]


def cleared_of_noise(
    session: Session,
    reference: Reference,
    binding: Binding,
    role: Role,
    looks: Sequence[Look],
    seed: int,
) -> list[Mapping[str, Outcome]]:
    """The outcomes of every look, those right that are off by rounding only.

    Only where an array is right nearly everywhere: what is off everywhere is a difference in
    place of a derivative, or a mistake.
    """
    names = {name for look in looks for name in look.outcomes}
    wrong = {n: sum(not k.outcomes[n].right for k in looks if n in k.outcomes) for n in names}
    few = {n for n, count in wrong.items() if 0 < _RARE * count <= len(looks)}
    if not few or (role == "gradient" and binding.scale):
        return [look.outcomes for look in looks]
    return [_cleared(session, reference, binding, role, look, few, seed) for look in looks]


def _cleared(
    session: Session,
    reference: Reference,
    binding: Binding,
    role: Role,
    look: Look,
    names: Collection[str],
    seed: int,
) -> Mapping[str, Outcome]:
    asked = {n: o for n, o in look.outcomes.items() if n in names}
    doubtful = [name for name, outcome in asked.items() if _is_doubtful(outcome, role)]
    if look.probe.setting.work > _CHEAP or not doubtful:
        return look.outcomes
    read = {n: v for n, v in look.values.items() if n not in look.probe.values}
    found = _without_noise(session, reference, role, look.probe, read, asked, doubtful, seed)
    return {**look.outcomes, **found}


def _is_doubtful(outcome: Outcome, role: Role) -> bool:
    """Whether an array is wrong by so little that rounding may be all that there is."""
    worst = outcome.worst
    return (
        not outcome.right
        and not outcome.message
        and not outcome.single
        and worst is not None
        and worst.error <= _MOST[role] * worst.bound
    )


def _without_noise(
    session: Session,
    reference: Reference,
    role: Role,
    probe: Probe,
    read: Mapping[str, np.ndarray],
    outcomes: Mapping[str, Outcome],
    doubtful: Collection[str],
    seed: int,
) -> dict[str, Outcome]:
    """The outcomes, those right whose error is rounding.

    `read` is what the code drew itself at this probe, which it draws again.
    """
    errors = _errors(session, reference, role, probe, read, doubtful, seed)
    found = dict(outcomes)
    for name, runs in errors.items():
        outcome = outcomes[name]
        assert outcome.array is not None
        assert outcome.bound is not None
        pair = reference.evaluate({**probe.values, **read}, probe.upstream, probe.given)
        right = all_of(pair, role)[name]
        first = np.abs(outcome.array - right)
        off = ~(first <= outcome.bound)
        if not is_systematic(runs, off):
            found[name] = replace(outcome, right=True, bound=np.maximum(outcome.bound, first))
    return found


def is_systematic(runs: np.ndarray, among: np.ndarray) -> bool:
    """Whether some entry `among` all has errors, stacked in `runs`, whose mean is no chance."""
    mean, spread = runs.mean(axis=0)[among], runs.std(axis=0, ddof=1)[among]
    sure = _SURE * max(1, mean.size) ** _TAIL / np.sqrt(RUNS)
    return bool(np.any(np.abs(mean) > sure * spread))


def _errors(
    session: Session,
    reference: Reference,
    role: Role,
    probe: Probe,
    read: Mapping[str, np.ndarray],
    names: Collection[str],
    seed: int,
) -> dict[str, np.ndarray]:
    """The errors of arrays at points close by, stacked; none where the code fails at one."""
    free = [v.name for v in reference.spec.variables if v.differentiable and v.name in probe.values]
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for number in range(RUNS):
        # By another amount each time: a number that is added a thousand times is rounded the same
        # way each time, and has to be another number in every run, not one of two.
        move = Shake(number, _CLOSE * (1 + number / RUNS)).moving()
        close = replace(probe, values={**probe.values, **{n: move(probe.values[n]) for n in free}})
        try:
            run = session.evaluate(
                close.arrays, close.scalars, seed=seed, max_bytes=close.max_bytes
            )
        except CheckTrouble:
            return {}
        pair = reference.evaluate({**close.values, **read}, close.upstream, close.given)
        right = all_of(pair, role)
        for name, runs in found.items():
            value = by_role(run, role).get(name)
            if run.trouble or value is None or value.array is None:
                return {}
            if value.array.size != right[name].size:
                return {}
            runs.append(value.array.reshape(right[name].shape) - right[name])
    return {name: np.stack(runs) for name, runs in found.items()}
