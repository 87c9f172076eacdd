"""Inputs near the ends of their interval, where the layer is smooth.

Samples keep a twentieth of an interval away from its ends, for there numbers become large: the
logarithm of a probability, its reciprocal.  Code that cuts values off on the way is right at
random values and wrong here; a guard as small as 1e-7 is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from gradtool.check.facts import Case
from gradtool.check.probes import NEAR_KINK, Probe
from gradtool.check.recall import recall_of
from gradtool.check.reference import Reference
from gradtool.check.shown import MOST_WORK, Shown
from gradtool.check.zeros import look
from gradtool.records import replace
from gradtool.spec.model import Domain

_NEAREST, _FURTHEST = 5e-4, 1e-3  # of the interval, or of one


def at_ends(case: Case) -> Shown:
    """Look at a case that is right at random values of every interval."""
    found = Shown()
    if not case.measured.points or case.first.setting.work > MOST_WORK:
        return found
    reference, first, read = case.reference, case.first, case.read
    probes = recall_of(reference).made_of(
        first, ("ends",), lambda: tuple(_made(reference, first, read)), alone=not read
    )
    for probe in probes:
        found = found.and_also(look(case, probe))
    return found


def _made(reference: Reference, first: Probe, read: Mapping[str, np.ndarray]) -> Iterator[Probe]:
    """Every entry near an end; nothing where that is at a kink, or there is no interval."""
    rng = np.random.default_rng([first.number, 59])
    moved = {
        v.name: _near_ends(v.domain, first.values[v.name].shape, rng)
        for v in reference.spec.variables
        if v.domain.kind == "interval" and v.name in first.values
    }
    values = {**first.values, **moved}
    if moved and reference.kinks({**read, **values}, first.given).gap > NEAR_KINK:
        yield replace(first, values=values, varies="values are near an end of their interval")


def _near_ends(domain: Domain, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    ends = [
        (side, float(end)) for side, end in ((1, domain.low), (-1, domain.high)) if end is not None
    ]
    width = abs(ends[-1][1] - ends[0][1]) or 1.0
    chosen = np.array(ends)[rng.integers(len(ends), size=shape)]
    away = width * rng.uniform(_NEAREST, _FURTHEST, shape)
    return np.asarray(chosen[..., 1] + chosen[..., 0] * away)
