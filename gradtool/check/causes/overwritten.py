"""Parts that overlap are written over each other: = in place of +=."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradtool.check.causes.shapes import opened
from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_program import Array, Grain
from gradtool.ir.graph import Statement

_MOST_AXES = 3
_MOST_ENTRIES = 1 << 18


@dataclass(frozen=True, slots=True)
class _Survivor:
    """Every entry keeps one of the parts that reach it, in some order of the loops."""

    evidence: Evidence
    grain: Grain
    statement: Statement
    rank: int
    order: tuple[int, ...]
    backwards: tuple[bool, ...]

    def predict(self, seen: Seen) -> Array | None:
        parts = np.asarray(self.evidence.bench(self.grain, seen.number).opened(self.statement))
        if parts.size > _MOST_ENTRIES:
            return None
        free = range(self.rank)
        parts = parts.transpose(*free, *(self.rank + k for k in self.order))
        turned = tuple(self.rank + k for k, back in enumerate(self.backwards) if back)
        flat = np.flip(parts, turned).reshape(*parts.shape[: self.rank], -1)
        reached = flat != 0
        last = flat.shape[-1] - 1 - np.argmax(reached[..., ::-1], axis=-1)
        return np.take_along_axis(flat, last[..., None], axis=-1)[..., 0]


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.tier or not evidence.shape_fits:
        return
    label = evidence.label
    for grain in evidence.grains:
        place = grain.place(grain.gradients[evidence.name])
        statement = grain.statements[place] if place is not None else None
        if not isinstance(statement, Statement) or len(statement.body.terms) != 1:
            continue
        bound = len(statement.body.terms[0].bound)
        if not 0 < bound <= _MOST_AXES:
            continue
        whole = opened(statement)
        for order in itertools.permutations(range(bound)):
            for backwards in itertools.product((False, True), repeat=bound):
                made = _Survivor(evidence, grain, whole, len(statement.free), order, backwards)
                yield Hypothesis(
                    "overwritten",
                    1.2,
                    "parts that meet in one entry overwrite each other: = in place of +=",
                    made.predict,
                    lambda: f"every entry of your {label} holds one part of its sum",
                    f"overwritten {evidence.name}",
                )
