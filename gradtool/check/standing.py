"""Whether an error stands still: a mistake keeps its size and sign where rounding is drawn anew.

`noise` asks for that at points so close by that nothing but rounding is another one.  Where values
are large that is too close: of 1 - sigmoid(33) a few last digits are left, and they are the same
ones all around.  Further on none are left, and what is lost is the whole: exp(x) * log(1 + exp(-x))
is 0 in place of 1 everywhere.  So it is asked where the error becomes large, on the way from the
drawn values to the large ones, and over a stretch of that way.
"""

from __future__ import annotations

import numpy as np

from gradtool.check.compare import Role
from gradtool.check.facts import Case, again, outcome_of, right_of
from gradtool.check.measure import Point
from gradtool.check.noise import RUNS, is_systematic
from gradtool.check.probes import Probe, scaled

_FAR = 1e9  # times the bound of float64: about five digits are right
_HALVINGS = 12  # to a thousandth of the values
# How far beyond: what is left of 1 - sigmoid(z) is another number each time, and what a cut-off
# takes from a number just beyond it grows from little to a few times that.
_STRETCH = np.linspace(1.02, 1.07, RUNS)


def stands_still(case: Case, probe: Probe, role: Role, name: str) -> bool:
    """Whether an array that is far off at a scaled probe has the same error all along the way.

    What is not finite on the way is overflow that begins, and does not.
    """

    def off(point: Point | None) -> np.ndarray | None:
        """Which entries are far off; None where something is no number."""
        outcome = outcome_of(point, role, name) if point else None
        if point is None or outcome is None or outcome.array is None or outcome.bound is None:
            return None
        right, bound = right_of(point, role, name)
        if not outcome.single:  # its bound may be that of a reference that is inaccurate itself
            bound = np.maximum(bound, outcome.bound)
        return np.abs(outcome.array - right) > _FAR * bound if outcome.finite else None

    def at(share: float, further: float = 1.0) -> Point | None:
        part = {n: f**share * (further if f > 1 else 1 / further) for n, f in probe.scale.items()}
        return again(case, scaled(case.first, part, probe.varies))

    far = off(at(1.0))
    if far is None or not far.any():
        return False
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        found = off(at(middle))
        if found is not None and found.any():
            high, far = middle, found
        else:
            low = middle
    errors = []
    for further in _STRETCH:
        point = at(high, float(further))
        outcome = outcome_of(point, role, name) if point and off(point) is not None else None
        if point is None or outcome is None or outcome.array is None:
            return False
        right = right_of(point, role, name)[0]
        # Of the sizes of both: what grows by powers has no mean otherwise.
        sizes = np.abs(outcome.array) + np.abs(right)
        errors.append((outcome.array - right) / np.where(sizes > 0, sizes, 1.0))
    return is_systematic(np.stack(errors), far)
