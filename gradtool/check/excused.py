"""What is off by more than rounding and no mistake: float32, guards against zero, clipping.

Each is proved by running the file without it (see `varied`), and is told as a remark.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from gradtool.check.compare import Outcome, Role, label_of
from gradtool.check.facts import Case, again, fits
from gradtool.check.limits import clipped, is_one, is_scaled_down, norm
from gradtool.check.measure import Point
from gradtool.check.probes import free_upstream, scaled
from gradtool.check.result import Cause, Remark
from gradtool.check.single import is_single

GUARD = "guard"
TITLE = "a guard that moves the gradient"

_INSIDE = 0.5  # of the entries, of all points alike
_FURTHER = 4.0
_FAINT = 2.0**-20
_SMALL = 1e-6  # of a gradient: a guard that moves it less is none of its mistakes


def as_single(case: Case, role: Role, name: str, wrong: Sequence[Point]) -> Remark | None:
    """The remark on an array that is right as float32."""
    if not (is_single(case, role, name, wrong) or case.varied.is_single(role, name, wrong)):
        return None
    label = label_of(role, name)
    text = f"{label} went through float32 inside the code and was judged as float32"
    return Remark("float32", text)


def as_guarded(
    case: Case,
    role: Role,
    name: str,
    wrong: Sequence[tuple[Point, Outcome]],
    outputs: Collection[str],
) -> Remark | Cause | None:
    """A remark where guards are no mistake, a cause where they are one; None where there is none.

    The forward pass may be guarded (`outputs` are), and a gradient then be that of the guarded
    one.  A guard that only the backward pass has is accepted where it moves next to nothing.
    """
    points = [point for point, _ in wrong]
    guards = case.varied.guarded(role, name, points)
    if guards is None:
        return None
    error = max(outcome.error or 0.0 for _, outcome in wrong)
    label = label_of(role, name)
    moved = f"{label} is right but for {guards}, which moves it by up to {error:.0e}"
    if role == "output":
        return Remark(GUARD, moved)
    if outputs and all(
        o.array is not None and fits(case, name, [(p, o.array)]) for p, o in wrong[:2]
    ):
        return Remark(GUARD, f"{label} is that of your own forward, with {guards}")
    if error <= _SMALL:
        return Remark(GUARD, moved)
    where = "is not that of your own forward" if outputs else "has it alone"
    text = f"a guard moves it: {guards}; the backward pass {where}, without it every entry is right"
    return Cause(GUARD, text, 1.0, title=TITLE)


def as_overflow(role: Role, name: str, there: Sequence[tuple[Point, Outcome]]) -> Remark | None:
    """The remark on what is right but for not being finite where an axis is long.

    A product of many probabilities is zero in floating point, and its logarithm no number: as
    for large values, that is told, and no mistake of the derivation.  A gradient beside a forward
    pass that has its numbers there has no such excuse.
    """
    lost = [p for p, o in there if not o.right]
    if any(o.finite or not _overflows(p) for p, o in there if not o.right) or len(lost) == len(
        there
    ):
        return None
    label = label_of(role, name)
    text = f"{label} is not finite where {lost[0].probe.varies}: it overflows"
    return Remark("overflow", text)


def _overflows(point: Point) -> bool:
    """Whether an axis is long, and the user's forward pass not finite there."""
    return point.probe.is_long and any(not outcome.finite for outcome in point.outputs.values())


def as_clipped(case: Case, name: str, wrong: Sequence[tuple[Point, Outcome]]) -> Remark | None:
    """The remark on a gradient that is right but for being cut off, as in ``[-5, 5]``.

    Most entries must be inside, at most points, so that they are known to be right themselves.
    """
    limits = {clipped(point, name) for point, _ in wrong}
    points = [p for p in case.measured.points if name in p.gradients]
    limit = limits.pop()
    if limits or limit is None or not case.varied.unclipped(name, [point for point, _ in wrong]):
        return None
    arrays = [o.array for p in points if (o := p.gradients[name]).array is not None]
    if np.mean([np.mean(np.abs(array) < limit) for array in arrays if array.size]) < _INSIDE:
        return None
    return Remark("clips", f"d{name} is cut off at {limit:g}, and right without that")


def as_shortened(case: Case, name: str, wrong: Sequence[tuple[Point, Outcome]]) -> Remark | None:
    """The remark on a gradient that is right but for a limit of its norm, alone or with others'.

    Where it is off, at no more than half of the points, it is the right one times a factor below
    1; the norm is the same at all of them; it stands still when the upstream gradient grows, and
    is right when that is faint.
    """
    points = [p for p in case.measured.points if name in p.gradients]
    given = free_upstream(case.binding, case.first)
    if not given or len(wrong) > _INSIDE * len(points):
        return None
    if not all(is_scaled_down(point, name) for point, _ in wrong):
        return None
    further, faint = dict.fromkeys(given, _FURTHER), dict.fromkeys(given, _FAINT)
    for point, _ in wrong:
        small = again(case, scaled(point.probe, faint, ""))
        if small is None or not small.gradients[name].right:
            return None
    more = [again(case, scaled(point.probe, further, "")) for point, _ in wrong]
    there = [*(point for point, _ in wrong), *filter(None, more)]
    alone, joint = ([norm(p, names) for p in there] for names in ((name,), wrong[0][0].gradients))
    if None in more or not (is_one(alone) or is_one(joint)):
        return None
    return Remark("clips", f"d{name} is scaled down where it is large, and right elsewhere")
