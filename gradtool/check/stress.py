"""Large and tiny values: what is wrong there, and what only loses digits or overflows.

A textbook formula (a softmax without its maximum, a log of one minus a sigmoid) is right and
overflows or loses digits when its values are large; the loss grows by and by as the values do.
Code that does something else from some size on is wrong there at once.  So between the drawn
values, where it is right, and the large ones, where it is not, the place where it goes wrong is
sought, and the size of the error just behind it decides.  A cut-off (a logit in ``[-6, 6]``)
begins by and by as well: it is told from lost digits by an error that stands still.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from gradtool.check.compare import arrays_of
from gradtool.check.facts import Case, again
from gradtool.check.limits import clipped, is_clip, is_norm, is_scaled_down
from gradtool.check.measure import Point, is_finite, measure
from gradtool.check.probes import Probe, scaled, stressed
from gradtool.check.result import Remark, Trouble, Worst, told_at
from gradtool.check.standing import stands_still

_MOST_WORK = 50_000  # scalar operations of a pass that is run again and again
_STEPS = 8
_HALVINGS = 36  # what is continuous there, such as a limit, has no error left
_BEYOND = 1.001  # what is cut off by less was lost in rounding
JUMP = 1e4  # times its bound: rounding that begins to show is far below


@dataclass(frozen=True, slots=True)
class Stress:
    """What large, tiny or equal values showed: remarks, and gradients that are wrong there.

    `wrong` maps the name of a gradient to what is said and the entry that shows it.
    """

    remarks: tuple[Remark, ...] = ()
    wrong: tuple[tuple[str, str, Worst | None], ...] = ()
    probes: int = 0

    def and_also(self, other: Stress) -> Stress:
        return Stress(
            (*self.remarks, *other.remarks),
            (*self.wrong, *other.wrong),
            self.probes + other.probes,
        )


def under_stress(case: Case, scaled_names: Collection[str] = ()) -> Stress:
    """Look at a case that is right at every point so far.

    `scaled_names` are gradients that were accepted with a factor of their course's.
    """
    if not case.measured.points or case.first.setting.work > _MOST_WORK:
        return Stress()
    remarks: list[Remark] = []
    wrong: dict[str, tuple[str, str, Worst | None]] = {}
    clips: dict[str, str] = {}
    count = 0
    for probe in stressed(case.reference, case.binding, case.first, case.read):
        measured = measure(case.session, case.reference, case.binding, [probe], case.seed)
        if not measured.points:
            if measured.trouble is not None:
                remarks.append(_told(probe, measured.trouble))
                break  # the worker may be lost
            continue
        point = measured.points[0]
        if not is_finite(point.expected):
            continue
        count += 1
        if measured.trouble is not None:
            remarks.append(_told(probe, measured.trouble))
            continue
        for name, outcome in point.gradients.items():
            if outcome.right or name in scaled_names or _excess(case, point, name) == 0:
                continue
            if not outcome.finite:
                text = f"d{name} is not finite at {probe.varies}: it overflows"
                remarks.append(Remark("overflow", text))
            elif name in wrong:
                continue
            elif (limit := clipped(point, name, _BEYOND)) and is_clip(case, point, name, limit):
                clips[name] = f"d{name} is cut off at {limit:g}"
            elif (place := _switches(case, probe, name)) is not None:
                text = f"right until {place}, wrong from there on"
                wrong[name] = (name, text, outcome.worst)
            elif is_scaled_down(point, name) and is_norm(case, point, name):
                clips.setdefault(name, f"d{name} is scaled down where it is large")
            elif probe.is_huge:
                continue
            elif stands_still(case, probe, "gradient", name):
                if guards := case.varied.held("gradient", name, probe):
                    text = f"a guard moves d{name} at {probe.varies}: {guards}"
                    remarks.append(Remark("guard", text))
                else:
                    text = f"right at random values, wrong at {probe.varies}"
                    wrong[name] = (name, text, outcome.worst)
            else:
                text = f"d{name} loses digits at {probe.varies}: {outcome.error:.0e} are lost"
                remarks.append(Remark("digits", text))
    # What clips at other points, too, was told of there.
    remarks += [Remark("clips", text) for name, text in clips.items() if name not in case.excused]
    return Stress(tuple(dict.fromkeys(remarks)), tuple(wrong.values()), count)


def _told(probe: Probe, trouble: Trouble) -> Remark:
    return Remark("overflow", told_at(f"at {probe.varies}", trouble))


def _excess(case: Case, point: Point, name: str) -> float:
    """The largest error in units of its bound, 0 when right, not a number when not finite.

    A gradient that was right as float32 only is held to that.
    """
    outcome = point.gradients.get(name)
    if outcome is None or outcome.worst is None or outcome.array is None or not outcome.finite:
        return np.nan
    if outcome.right:
        return 0.0
    if all(p.gradients[name].right for p in case.measured.points if name in p.gradients):
        return outcome.worst.error / outcome.worst.bound
    right, bound = arrays_of(point.expected.single(), "gradient", name)
    most = float(np.max(np.abs(outcome.array - right) / bound, initial=0.0))
    return most if most > 1 else 0.0


def _switches(case: Case, probe: Probe, name: str) -> str | None:
    """Where the gradient goes wrong at once, in words; None when it comes by and by.

    Values and upstream gradients are scaled together; where one of them alone is enough, it is
    told alone.
    """
    values = {n: f for n, f in probe.scale.items() if n in probe.values}
    upstream = {n: f for n, f in probe.scale.items() if n not in probe.values}
    for told in ((values,), (upstream,), (values, upstream)):
        scale = {n: factor for part in told for n, factor in part.items()}
        if all(told) and (share := _switch(case, scale, probe, name)) is not None:
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


def _switch(case: Case, scale: Mapping[str, float], probe: Probe, name: str) -> float | None:
    """How much of the way to the scale the gradient goes wrong at once; None when it fades."""
    first = case.first

    def excess(share: float) -> float:
        """The error in units of its bound, `share` of the way to the scale."""
        part = {n: factor**share for n, factor in scale.items()}
        point = again(case, scaled(first, part, probe.varies))
        return _excess(case, point, name) if point else np.nan

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
    return high if error > JUMP else None
