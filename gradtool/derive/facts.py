"""Sums over forward values that are known, and that make a gradient shorter.

``xhat.sum(axis=0)`` is 0 in batch normalisation, ``P.sum(axis=1)`` is 1 for a softmax: nobody
declares it, it is proved by expanding the definitions of the forward pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from gradtool.derive.knowledge import Knowledge
from gradtool.derive.raising import raised
from gradtool.derive.reveal import shown
from gradtool.derive.simplify import simplified
from gradtool.ir.graph import Graph, Statement
from gradtool.ir.poly import Access, Atom, Poly, Term, poly_of
from gradtool.ir.tree import Call, Tree, names
from gradtool.ir.walk import accesses, replace_atoms
from gradtool.records import Struct, field

_MAX_TERMS = 12


class Fact(Struct, frozen=True):
    """A sum over forward values that is known: ``xhat.sum(axis=0)`` is 0."""

    left: Tree
    right: Tree
    of: str


class Recording(Knowledge, frozen=True, dict=True):
    """Remembers the sums that it proved."""

    facts: dict[str, tuple[Term, Poly]] = field(default_factory=dict)

    def sum_of(self, term: Term) -> Poly | None:
        value = super().sum_of(term)
        if value is not None:
            self.facts[term.key] = (term, value)
        return value

    def vanishes(self, body: Poly) -> bool:
        """Whether an expression is zero by what the forward pass tells; then remembers why."""
        trial = Recording(self.graph)
        if not any(t.bound for t in body.terms) or simplified(body, trial).terms:
            return False
        self.facts.update(trial.facts)
        return True

    def shorten(self, body: Poly, definitions: Mapping[str, Statement]) -> None:
        """Remember the sums that shorten an expression once cotangents are written out."""
        simplified(_through(body, definitions), self)

    def proven(self) -> tuple[Fact, ...]:
        found: dict[str, Fact] = {}
        for term, value in self.facts.values():
            left = _side(self.graph, poly_of((term,)))
            right = _side(self.graph, value)
            if left is not None and right is not None and names(left):
                subject = next(a.tensor.name for a in accesses(poly_of((term,))))
                found.setdefault(str(left), Fact(left, right, subject))
        return tuple(found.values())


def _side(graph: Graph, body: Poly) -> Tree | None:
    free = sorted(body.indices, key=lambda i: i.name)
    tree = shown(graph, raised(body, free))
    return None if isinstance(tree, Call) and tree.op == "indexed" else tree


def _through(body: Poly, definitions: Mapping[str, Statement]) -> Poly:
    """An expression with cotangents written out, while that stays of a sane size."""
    order = {name: place for place, name in enumerate(definitions)}
    while True:
        present = {a.tensor.name for a in accesses(body) if a.tensor.name in definitions}
        if not present:
            return body
        latest = definitions[max(present, key=lambda n: order[n])]
        opened = replace_atoms(body, partial(_entry, latest))
        if len(opened.terms) > _MAX_TERMS:
            return body
        body = opened


def _entry(statement: Statement, base: Atom) -> Poly | None:
    """The definition of an entry of the statement's value."""
    if not isinstance(base, Access) or base.tensor.name != statement.out.name:
        return None
    return statement.body.substitute(dict(zip(statement.free, base.index, strict=True)))
