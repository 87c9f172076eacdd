"""Large and tiny values: what is wrong there, and what only loses digits or overflows.

A textbook formula (a softmax without its maximum, a log of one minus a sigmoid) is right and
overflows or loses digits when its values are large; the loss grows by and by as the values do.
Code that does something else from some size on is wrong there at once.  So between the drawn
values, where it is right, and the large ones, where it is not, the place where it goes wrong is
sought, and the size of the error just behind it decides.  A cut-off (a logit in ``[-6, 6]``)
begins by and by as well: it is told from lost digits by an error that stands still.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np

from gradtool.check.compare import Role, arrays_of, label_of
from gradtool.check.facts import Case, again, outcome_of
from gradtool.check.guards import SMALL, guard_of
from gradtool.check.limits import clipped, is_clip, is_norm, is_scaled_down
from gradtool.check.measure import Point, everything_of, is_finite, is_right, measure
from gradtool.check.probes import LARGE_INPUTS, Probe, scaled, stressed
from gradtool.check.result import Compared, Remark, Trouble, told_at
from gradtool.check.shown import MOST_WORK, Mistake, Shown
from gradtool.check.standing import stands_still
from gradtool.records import replace

_MOST_WIDE = 6_000  # scalar operations of a pass with more values
_STEPS = 8
_HALVINGS = 42  # what is continuous there, such as a limit, has no error left
_BEYOND = 1.001  # what is cut off by less was lost in rounding
# Times the bound, about eight digits: libraries leave off the last ones of a softplus behind 20.
_SWITCH = 1e6


def under_stress(
    case: Case, guarded: Collection[str] = (), may_ask: Callable[[], bool] = lambda: False
) -> Shown:
    """Look at a case that is right at every point so far.

    `guarded` are outputs and gradients that a guard moves where nothing is large, too.
    `may_ask` tells whether there is a worker, if need be a new one: who was lost where something
    was large is asked the rest.
    """
    if not case.measured.points or case.first.setting.work > MOST_WORK:
        return Shown()
    remarks: list[Remark] = []
    wrong: dict[tuple[Role, str], Mistake] = {}
    clips: dict[str, str] = {}
    count = 0
    lost_with: set[str] = set()
    for base, probe in _looks(case):
        larger = {name for name, factor in probe.scale.items() if factor > 1}
        if not lost_with.isdisjoint(larger):
            continue
        if case.session.lost and not may_ask():
            break
        measured = measure(base.session, base.reference, base.binding, [probe], base.seed)
        if not measured.points:
            if measured.trouble is not None:
                remarks.append(_told(probe, measured.trouble))
                lost_with |= larger
            continue
        point = measured.points[0]
        if not is_finite(point.expected):
            continue
        count += 1
        if measured.trouble is not None:
            remarks.append(_told(probe, measured.trouble))
            continue
        lost: list[str] = []
        for role, name, outcome in everything_of(point):
            if outcome.right or name in guarded or _excess(base, point, role, name) == 0:
                continue
            label = label_of(role, name)
            if not outcome.finite:
                lost.append(label)
            elif (role, name) in wrong:
                continue
            elif outcome.array is None:  # there are no numbers to compare
                if probe.is_huge:
                    remarks.append(Remark("overflow", f"at {probe.varies} {outcome.message}"))
                else:
                    text = f"{outcome.message}; right at random values, wrong at {probe.varies}"
                    wrong[role, name] = Mistake(role, name, text)
            elif role == "gradient" and (limit := _limit(base, point, name)):
                clips[name] = f"{label} is cut off at {limit:g}"
            elif (place := _switches(base, probe, role, name)) is not None:
                text = f"right until {place}, wrong from there on"
                wrong[role, name] = Mistake(role, name, text, outcome.worst, point)
            elif role == "gradient" and is_scaled_down(point, name) and is_norm(base, point, name):
                clips.setdefault(name, f"{label} is scaled down where it is large")
            elif probe.is_huge:
                continue
            elif not stands_still(base, probe, role, name):
                text = f"{label} loses digits at {probe.varies}: {outcome.error:.0e} are lost"
                remarks.append(Remark("digits", text))
            elif guards := _guards(base, point, role, name):
                text = f"a guard moves {label} at {probe.varies}: {guards}"
                remarks.append(Remark("guard", text))
            else:
                text = f"right at random values, wrong at {probe.varies}"
                wrong[role, name] = Mistake(role, name, text, outcome.worst, point)
        if lost:
            verbs = ("is", "it overflows") if len(lost) == 1 else ("are", "they overflow")
            text = f"{', '.join(lost)} {verbs[0]} not finite at {probe.varies}: {verbs[1]}"
            remarks.append(Remark("overflow", text))
    excused = case.excused("gradient")
    # What clips at other points, too, was told of there.
    remarks += [Remark("clips", text) for name, text in clips.items() if name not in excused]
    return Shown(tuple(dict.fromkeys(remarks)), tuple(wrong.values()), count)


def _looks(case: Case) -> Iterator[tuple[Case, Probe]]:
    """Every scaled probe, with the case whose first probe it was made of.

    Few values are drawn at the first sizes, and the largest of them may be small.  So large inputs
    are looked at once more where there are many.
    """
    for probe in stressed(case.reference, case.binding, case.first, case.read):
        yield case, probe
    points = case.measured.points
    usable = [p for p in points if p.probe.setting.work <= _MOST_WIDE and _is_plain(p)]
    widest = max(usable, key=lambda p: p.probe.setting.work, default=points[0])
    if widest.probe.setting.work > case.first.setting.work:
        others = tuple(point for point in points if point is not widest)
        wide = replace(case, measured=replace(case.measured, points=(widest, *others)))
        for probe in stressed(case.reference, case.binding, wide.first, wide.read):
            if probe.varies == LARGE_INPUTS:
                yield wide, probe
            break


def _is_plain(point: Point) -> bool:
    """Whether all is right at a point, with the constants of the spec and windows that fit."""
    setting = point.probe.setting
    return is_right(point) and not setting.constants and not setting.uneven


def _told(probe: Probe, trouble: Trouble) -> Remark:
    return Remark("overflow", told_at(f"at {probe.varies}", trouble))


def _limit(case: Case, point: Point, name: str) -> float | None:
    """Where a gradient is cut off, which is no mistake.  An output has no such excuse."""
    limit = clipped(point, name, _BEYOND)
    return limit if limit and is_clip(case, point, name, limit) else None


def _guards(case: Case, point: Point, role: Role, name: str) -> str | None:
    """The guards by which an array is another one: of the file, or of a logarithm anywhere."""
    if found := case.varied.held(role, name, point.probe, lost=True):
        return found
    if role == "gradient":
        return None
    alone = replace(case, measured=replace(case.measured, points=(point,)))
    made = guard_of(alone, [Compared(name, "", "wrong")])
    return f"log({made[0]})" if made and made[1] <= SMALL else None


def _excess(case: Case, point: Point, role: Role, name: str) -> float:
    """The largest error in units of its bound, 0 when right, not a number when not finite.

    What was right as float32 only is held to that.
    """
    outcome = outcome_of(point, role, name)
    if outcome is None or outcome.worst is None or outcome.array is None or not outcome.finite:
        return np.nan
    if outcome.right:
        return 0.0
    if name not in case.excused(role):
        return outcome.worst.error / outcome.worst.bound
    right, bound = arrays_of(point.expected.single(), role, name)
    most = float(np.max(np.abs(outcome.array - right) / bound, initial=0.0))
    return most if most > 1 else 0.0


def _switches(case: Case, probe: Probe, role: Role, name: str) -> str | None:
    """Where an array goes wrong at once, in words; None when it comes by and by.

    Values and upstream gradients are scaled together; where one of them alone is enough, it is
    told alone.
    """
    values = {n: f for n, f in probe.scale.items() if n in probe.values}
    upstream = {n: f for n, f in probe.scale.items() if n not in probe.values}
    for told in ((values,), (upstream,), (values, upstream)):
        scale = {n: factor for part in told for n, factor in part.items()}
        if all(told) and (share := _switch(case, scale, probe, role, name)) is not None:
            words = [
                f"{'the largest value' if part is values else 'the upstream gradient'} "
                f"{'reaches' if max(part.values()) > 1 else 'shrinks to'} "
                f"{_largest(case.first, part, share):.3g}"
                for part in told
            ]
            return " and ".join(words)
    return None


def _largest(first: Probe, scale: Mapping[str, float], share: float) -> float:
    """The largest of the arrays that are scaled, `share` of the way."""
    arrays = scaled(first, {n: factor**share for n, factor in scale.items()}, "").arrays
    return max((float(np.max(np.abs(arrays[n]), initial=0.0)) for n in scale), default=0.0)


def _switch(
    case: Case, scale: Mapping[str, float], probe: Probe, role: Role, name: str
) -> float | None:
    """How much of the way to the scale an array goes wrong at once; None when it fades."""
    first = case.first

    def excess(share: float) -> float:
        """The error in units of its bound, `share` of the way to the scale."""
        part = {n: factor**share for n, factor in scale.items()}
        point = again(case, scaled(first, part, probe.varies))
        return _excess(case, point, role, name) if point else np.nan

    if not excess(1.0) > 0:
        return None
    low, high, error = 0.0, 1.0, np.inf
    for step in range(_STEPS - 1, 0, -1):
        found = excess(step / _STEPS)
        if not found > 0:  # right, or not finite: overflow is no switch
            low = step / _STEPS
            if np.isnan(found):
                return None
            break
        high, error = step / _STEPS, found
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        found = excess(middle)
        if np.isnan(found):
            return None
        if found > 0:
            high, error = middle, found
        else:
            low = middle
    return high if error > _SWITCH else None
