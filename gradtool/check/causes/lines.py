"""One line of the pass is slightly different: every small edit, in every grain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache

from gradtool.check.diagnose_edits import Edit, Surroundings, edits
from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_hypothesis import SPARED, Hypothesis
from gradtool.check.diagnose_program import Array, Grain, has_hidden, written
from gradtool.check.diagnose_shares import parts
from gradtool.emit.text import text
from gradtool.ir.graph import Statement
from gradtool.ir.poly import Atom, poly_of, product
from gradtool.ir.tree import Name
from gradtool.records import Struct, replace

_FORWARD = 0.6  # a mistake in a recomputed forward value is rarer than one in the backward pass
_MOST = 6000


class _Changed(Struct, frozen=True):
    """The gradient of the evidence when one statement of a grain has another body."""

    evidence: Evidence
    grain: Grain
    place: int
    statement: Statement
    edit: Edit

    def predict(self, seen: Seen) -> Array | None:
        bench = self.evidence.bench(self.grain, seen.number)
        tensor = self.grain.gradients[self.evidence.name]
        changed = replace(self.statement, body=self.edit.body)
        try:
            if self.statement.out.name == tensor:
                total: Array | None = None
                for term in self.edit.body.terms:
                    value = bench.term(self.statement, term)
                    total = value if total is None else total + value
                return total if total is not None else 0.0 * seen.right
            return bench.changed(tensor, {self.place: changed})
        except (ValueError, IndexError, ZeroDivisionError):
            return None  # not defined at these sizes

    def inner(self, seen: Seen) -> Array | None:
        """What the changed statement gives."""
        bench = self.evidence.bench(self.grain, seen.number)
        changed = replace(self.statement, body=self.edit.body)
        try:
            return bench.changed(self.statement.out.name, {self.place: changed})
        except (ValueError, IndexError, ZeroDivisionError):
            return None

    def proof(self) -> str:
        name = self.statement.out.name
        shown = written(self.grain, self.edit.body, self.statement.free)
        if not shown or not written_name(self.grain, name):
            return ""
        label = self.evidence.label
        if name == self.grain.gradients[self.evidence.name]:
            return f"your {label} equals {shown}"
        owner = written_name(self.grain, name)
        return f"your {label} is what comes out with {owner} = {shown}"


def written_name(grain: Grain, name: str) -> str:
    """A tensor as it is shown; "" where it has no name that means anything to anybody."""
    shown = grain.shown[name] if name in grain.shown else Name(name)
    return "" if has_hidden(shown) else text(shown)


class _Possible(Struct, frozen=True):
    """An edit of a statement, where it is in words, and its price, whatever the file."""

    grain: Grain
    place: int
    statement: Statement
    edit: Edit
    cost: float
    where: str
    key: str


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.derived is None or not evidence.shape_fits:
        return
    possible: list[_Possible] = evidence.derived.remembered(
        f"lines {evidence.tier}", evidence.name, lambda: list(_possible(evidence))
    )
    for number, one in enumerate(possible):
        changed = _Changed(evidence, one.grain, one.place, one.statement, one.edit)
        predict = evidence.kept("lines", number, changed.predict)
        what, cost = one.edit.what + one.where, one.cost
        if one.where and evidence.spared(one.grain, one.place):
            what, cost = one.edit.what, cost + SPARED
        inner = changed.inner if one.where else None
        yield Hypothesis(one.edit.code, cost, what, predict, changed.proof, one.key, inner)


def _possible(evidence: Evidence) -> Iterator[_Possible]:
    done: set[tuple[str, str]] = set()
    count = 0
    for rank, grain in enumerate(evidence.grains):
        tensor = grain.gradients[evidence.name]
        around = surroundings(grain)
        for place in sorted(grain.leads_to(tensor), reverse=True):
            statement = grain.statements[place]
            if not isinstance(statement, Statement) or statement.reduce != "sum":
                continue
            forward = place < grain.first
            key = (statement.out.name, statement.body.key)
            if (forward and rank) or key in done:
                continue
            done.add(key)
            own = statement.out.name == tensor
            inner = written_name(grain, statement.out.name)
            where = "" if own else f", in {inner}" if inner else ", on the way to it"
            extra = (
                0.02 * (rank + 2 * evidence.tier)
                + (_FORWARD if forward else 0.0)
                + (0.0 if own else 0.05)
            )
            for edit in edits(statement, around):
                count += 1
                if count > _MOST:
                    return
                yield _Possible(
                    grain,
                    place,
                    statement,
                    edit,
                    edit.cost + extra,
                    where,
                    f"{statement.out.name}: {edit.code} {edit.body.key}",
                )


def surroundings(grain: Grain) -> Surroundings:
    tensors = {n: t for n, t in grain.tensors.items() if t.kind in ("real", "bool")}
    hidden = parts(grain.statements)
    return Surroundings(tensors, grain.upstream, grain.cotangents, show(grain), hidden)


def show(grain: Grain) -> Callable[[Atom], str]:
    """How an atom is printed, remembered."""

    @cache
    def shown(base: Atom) -> str:
        body = poly_of((product(Fraction(1), ((base, Fraction(1)),)),))
        free = sorted(base.indices, key=lambda i: i.name)
        return written(grain, body, free, in_words=True) or "a value"

    return shown
