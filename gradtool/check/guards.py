"""A guard in the logarithms of a forward pass: told apart from a forward that is wrong.

``log(p + 1e-12)`` is another function than ``log(p)``, and shows where p is small.  A backward
pass that leaves such a guard out is right as far as the guard does not count.  Which guard it is
is found by trying, and holds only when it gives the code's own numbers at every point.  That
needs no look at the code: a guard in a helper module, or a clip, is found all the same.  What
stands in the file itself is found by `gradtool.check.excused` before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gradtool.check.bounds import EPS, rms
from gradtool.check.facts import Case
from gradtool.check.measure import Point
from gradtool.check.result import Compared
from gradtool.numeric.guard import FORMS, Form

SMALL = 1e-6  # a larger one is no guard any more: the gradient should have it, too
_GUARDS = (*(10.0**-k for k in range(1, 31)), EPS, float(np.finfo(np.float32).eps))
_SLACK = 64.0  # units in the last place of the output: a logarithm of what is small rounds more


def guard_of(case: Case, outputs: Sequence[Compared]) -> tuple[str, float] | None:
    """The guard that explains wrong outputs: how it is written, and how large it is."""
    wrong = [o.name for o in outputs if o.standing == "wrong"]
    ask = getattr(case.reference, "guarded", None)
    if not wrong or ask is None:
        return None
    points = [p for p in case.measured.points if any(_is_off(p, name) for name in wrong)]
    # First where it shows most: what does not fit there is given up at once.
    points.sort(key=lambda p: -max(_error(p, name) for name in wrong if name in p.outputs))
    rest = [p for p in case.measured.points if p not in points]
    found: list[tuple[float, str, float]] = []
    for form in FORMS:
        for guard in _GUARDS:
            off = 0.0
            for point in (*points, *rest):
                off = max(off, _excess(ask, point, form, guard, wrong))
                if off > 1:
                    break
            else:
                found.append((off, form.format(f"{guard:.3g}"), guard))
    return min(found)[1:] if found else None


def _is_off(point: Point, name: str) -> bool:
    outcome = point.outputs.get(name)
    return outcome is not None and outcome.array is not None and not outcome.right


def _error(point: Point, name: str) -> float:
    return point.outputs[name].error or 0.0


def _excess(ask: object, point: Point, form: Form, guard: float, names: Sequence[str]) -> float:
    """How far the code's numbers are from those with this guard, in units of what is rounding."""
    assert callable(ask)
    made: Mapping[str, np.ndarray] | None = ask(point.values, point.probe.given, form, guard)
    if made is None:
        return np.inf
    most = 0.0
    for name in names:
        outcome = point.outputs.get(name)
        if outcome is None or outcome.array is None or outcome.bound is None:
            return np.inf
        bound = outcome.bound + _SLACK * EPS * rms(made[name])
        excess = float(np.max(np.abs(outcome.array - made[name]) / bound, initial=0.0))
        most = max(most, excess if np.isfinite(excess) else np.inf)
    return most
