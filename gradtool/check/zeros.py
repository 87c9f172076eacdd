"""Inputs, parameters and upstream gradients that are exactly zero, where the layer is smooth there.

Padded images, one-hot rows and what comes out of a relu are full of zeros; random values have
none.  Code that divides by a value, or that asks for its sign, is right at random values and
nowhere else.  Where a layer has a kink at such values `kinked` looks at it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from gradtool.check.compare import label_of
from gradtool.check.facts import Case
from gradtool.check.measure import everything_of, measure
from gradtool.check.probes import Probe, growing
from gradtool.check.recall import recall_of
from gradtool.check.reference import Reference
from gradtool.check.result import Remark, told_at
from gradtool.check.shown import JUMP, MOST_WORK, Mistake, Shown
from gradtool.records import replace

_SHARE = 0.25  # of the entries: so many that every axis has some, and other numbers beside them


def at_zeros(case: Case) -> Shown:
    """Look at a case that is right wherever nothing is zero."""
    if not case.measured.points or case.first.setting.work > MOST_WORK:
        return Shown()
    reference, first, read = case.reference, case.first, case.read
    free = case.binding.upstream is None
    probes = recall_of(reference).made_of(
        first, ("zeros", free), lambda: tuple(_made(reference, first, read, free)), alone=not read
    )
    found = Shown()
    for probe in probes:
        found = found.and_also(look(case, probe))
        if found.wrong or case.session.lost:
            break
    return found


def _made(
    reference: Reference, first: Probe, read: Mapping[str, np.ndarray], free: bool
) -> Iterator[Probe]:
    """Some entries of everything zero; all inputs zero.  Nothing where a kink is hit by that."""
    grown = growing(reference, first)
    rng = np.random.default_rng([first.number, 47])

    def thinned(array: np.ndarray) -> np.ndarray:
        drawn = rng.random(array.shape)
        # Of few entries none may be drawn, and then no zero would be looked at.
        most = max(_SHARE, float(np.min(drawn))) if array.size > 1 else _SHARE
        return np.where(drawn <= most, 0.0, array)

    some = {v.name: thinned(first.values[v.name]) for v in grown}
    upstream = {n: thinned(u) if free and u.ndim else u for n, u in first.upstream.items()}
    inputs = {v.name: np.zeros_like(first.values[v.name]) for v in grown if v.role == "input"}
    for zeros, arriving, words in (
        (some, upstream, "some entries are 0"),
        (inputs, first.upstream, "every input is 0"),
    ):
        values = {**first.values, **zeros}
        if zeros and not reference.kinks({**read, **values}, first.given).equal:
            yield replace(first, values=values, upstream=arriving, varies=words)


def look(case: Case, probe: Probe) -> Shown:
    """What special values show of a case that is right at random ones."""
    measured = measure(case.session, case.reference, case.binding, [probe], case.seed)
    if measured.trouble is not None:
        text = told_at(f"where {probe.varies}", measured.trouble)
        return Shown((Remark("zeros", text),), probes=1)
    remarks, wrong = [], []
    for point in measured.points:  # none where the layer itself is not finite
        for role, name, outcome in everything_of(point):
            if outcome.right or name in case.excused(role):
                continue
            label = label_of(role, name)
            if not outcome.finite:
                # Dividing by what is not zero anywhere else is a choice of some right code.
                remarks.append(Remark("zeros", f"{label} is not finite where {probe.varies}"))
                continue
            worst = outcome.worst
            if worst is not None and worst.error <= JUMP * worst.bound:
                # A branch that is taken at zero only is far off; a long way to a zero is not.
                text = f"{label} loses digits where {probe.varies}: {worst.error:.0e} are lost"
                remarks.append(Remark("digits", text))
                continue
            if guards := case.varied.held(role, name, probe, lost=False):
                text = f"a guard moves {label} where {probe.varies}: {guards}"
                remarks.append(Remark("guard", text))
                continue
            text = f"right at random values, wrong where {probe.varies}"
            text = "; ".join(filter(None, (outcome.message, text)))
            wrong.append(Mistake(role, name, text, worst))
    return Shown(tuple(remarks), tuple(wrong), len(measured.points))
