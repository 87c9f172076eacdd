"""Parts that overlap are written over each other: = in place of +=."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial

import numpy as np

from gradtool.check.causes.shapes import opened
from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_program import Array, Grain
from gradtool.ir.graph import Statement
from gradtool.records import Struct

_MOST_AXES = 3
_MOST_TERMS = 4
_MOST_ENTRIES = 1 << 18


class _Survivor(Struct, frozen=True):
    """Every entry keeps one of the parts that reach it, in some order of the loops.

    It is so in the term of this number; the others are added as they should be.
    """

    evidence: Evidence
    grain: Grain
    statement: Statement
    number: int
    order: tuple[int, ...]
    backwards: tuple[bool, ...]

    def predict(self, seen: Seen) -> Array | None:
        bench = self.evidence.bench(self.grain, seen.number)
        parts = np.asarray(bench.opened(opened(self.statement, self.number)))
        rank = len(self.statement.free)
        if parts.size > _MOST_ENTRIES:
            return None
        free = range(rank)
        parts = parts.transpose(*free, *(rank + k for k in self.order))
        turned = tuple(rank + k for k, back in enumerate(self.backwards) if back)
        flat = np.flip(parts, turned).reshape(*parts.shape[:rank], -1)
        reached = flat != 0
        last = flat.shape[-1] - 1 - np.argmax(reached[..., ::-1], axis=-1)
        kept = np.take_along_axis(flat, last[..., None], axis=-1)[..., 0]
        for number, term in enumerate(self.statement.body.terms):
            if number != self.number:
                kept = kept + bench.term(self.statement, term)
        return np.asarray(kept)


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.tier or not evidence.shape_fits:
        return
    label = evidence.label
    for grain in evidence.grains:
        place = grain.place(grain.gradients[evidence.name])
        statement = grain.statements[place] if place is not None else None
        if not isinstance(statement, Statement) or len(statement.body.terms) > _MOST_TERMS:
            continue
        several = len(statement.body.terms) > 1
        for number, term in enumerate(statement.body.terms):
            bound = len(term.bound)
            if not 0 < bound <= (1 if several else _MOST_AXES):
                continue
            which = "one part of a sum in it" if several else "one part of its sum"
            proof = f"every entry of your {label} holds {which}"
            for order in itertools.permutations(range(bound)):
                for backwards in itertools.product((False, True), repeat=bound):
                    yield Hypothesis(
                        "overwritten",
                        1.4 if several else 1.2,
                        "of the parts that meet in one entry one is kept, as where = stands for +=",
                        _Survivor(evidence, grain, statement, number, order, backwards).predict,
                        partial(str, proof),
                        f"overwritten {evidence.name}",
                    )
