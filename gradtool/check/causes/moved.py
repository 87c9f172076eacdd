"""A factor that stands outside of the sums that it belongs into: a gamma behind layer norm's means.

Where the sums run over other axes than the factor has, both places are as good, as in batch norm.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from gradtool.check.causes.lines import show, written_name
from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_program import Array, Grain
from gradtool.ir.graph import Statement
from gradtool.ir.poly import Access, Poly, Term
from gradtool.records import Struct, replace

_COST = 1.1


class _Moved(Struct, frozen=True):
    """The gradient when a factor of one line is multiplied to the result instead."""

    evidence: Evidence
    grain: Grain
    place: int
    statement: Statement
    factor: Access

    def predict(self, seen: Seen) -> Array | None:
        bench = self.evidence.bench(self.grain, seen.number)
        tensor = self.grain.gradients[self.evidence.name]
        (term,) = self.statement.body.terms
        left = tuple(one for one in term.factors if one[0] != self.factor)
        changed = replace(self.statement, body=Poly((replace(term, factors=left),)))
        without = bench.changed(tensor, {self.place: changed})
        alone = Term(Fraction(1), ((self.factor, Fraction(1)),), ())
        factor = bench.term(self.statement, alone) / bench.factor
        return without * factor if np.shape(without) == np.shape(factor) else None


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.derived is None or not evidence.shape_fits:
        return
    done: set[tuple[str, str]] = set()
    for grain in evidence.grains:
        tensor = grain.gradients[evidence.name]
        for place in sorted(grain.leads_to(tensor), reverse=True):
            statement = grain.statements[place]
            if place < grain.first or not isinstance(statement, Statement):
                continue
            for factor in _factors(statement, grain):
                text = show(grain)(factor)
                inner = written_name(grain, statement.out.name)
                if (text, statement.out.name) in done or statement.out.name == tensor:
                    continue
                done.add((text, statement.out.name))
                moved = _Moved(evidence, grain, place, statement, factor)
                where = f" of {inner}" if inner else ""
                what = f"{text} is multiplied in after the sums{where}, and belongs in before them"
                yield Hypothesis("missing-factor", _COST, what, moved.predict, key=what)


def _factors(statement: Statement, grain: Grain) -> Iterator[Access]:
    """The forward values by which a line multiplies, entry by entry."""
    if len(statement.body.terms) != 1 or statement.body.terms[0].bound:
        return
    for base, exponent in statement.body.terms[0].factors:
        if isinstance(base, Access) and exponent == 1:
            given = base.tensor.name in grain.cotangents or base.tensor.name in grain.upstream
            if not given and len(statement.body.terms[0].factors) > 1:
                yield base
