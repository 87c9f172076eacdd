"""Arrays that do not lie in memory row by row: transposed data, and gradients of a transpose.

NumPy gives both orders the same meaning.  Code that writes through a ``reshape`` or a ``ravel``,
which is a view of the one and a copy of the other, or that reckons with strides, is right for one
of them only.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradtool.check.answers import Run
from gradtool.check.batches import mistakes_of, point_of
from gradtool.check.facts import Case
from gradtool.check.measure import Point
from gradtool.check.result import Remark, Trouble, told_at
from gradtool.check.session import CheckTrouble, TooSlow
from gradtool.check.shown import MOST_WORK, Shown
from gradtool.records import replace


def in_memory_order(case: Case) -> Shown:
    """Look at a case that is right for arrays in C order."""
    point = point_of(case.measured.points)
    if point is None or point.probe.setting.work > MOST_WORK:
        return Shown()
    parameters = {v.name for v in case.reference.spec.variables if v.role == "parameter"}
    names = [n for n, a in point.probe.arrays.items() if a.ndim > 1 and n not in parameters]
    if not names:
        return Shown()
    try:
        return _turned(case, point, names)
    except TooSlow:
        return Shown()  # slow code is right in both orders or in none
    except CheckTrouble as lost:
        return Shown(remarks=(_refused(names, lost.trouble),))


def _turned(case: Case, point: Point, names: Sequence[str]) -> Shown:
    run = _run(case, point, names)
    if run.trouble is not None:
        return Shown(remarks=(_refused(names, run.trouble),))
    if not mistakes_of(case, point, run):
        return Shown()
    arriving = [n for n in names if n not in point.probe.values]
    alone = {n: mistakes_of(case, point, _run(case, point, [n])) for n in names}
    text = "right for arrays in C order only: wrong where {} is a transposed view (F order)"
    if mistakes := [mistake for n in arriving for mistake in alone[n]]:
        told = text.format(" or ".join(n for n in arriving if alone[n]))
        return Shown(wrong=tuple(replace(mistake, text=told) for mistake in mistakes))
    # Who calls a layer can copy its data, and a course may rely on that; what arrives from the
    # layer behind is in no one's hands.
    told = text.format(" or ".join(n for n in names if alone[n]) or " and ".join(names))
    return Shown(remarks=(Remark("order", told),))


def _run(case: Case, point: Point, names: Sequence[str]) -> Run:
    probe = point.probe
    return case.session.evaluate(
        probe.arrays, probe.scalars, seed=case.seed, max_bytes=probe.max_bytes, turned=names
    )


def _refused(names: Sequence[str], trouble: Trouble) -> Remark:
    told = " or ".join(names)
    return Remark("order", told_at(f"where {told} is a transposed view (F order)", trouble))
