"""What the lines of a derivation call a value, and what stands for one without a name."""

from __future__ import annotations

from gradtool.derive.derivation import Derivation
from gradtool.derive.line import Line
from gradtool.derive.raising import raised
from gradtool.emit.text import operand
from gradtool.ir.graph import AnyStatement, Statement
from gradtool.ir.poly import Access, Atom, Poly, Term, poly_of, product
from gradtool.ir.tree import Name, Tree, names, replace_names


class Values:
    """The values of one derivation, forward and backward.

    Attributes:
        shown: what a tensor of the graph is called in the lines; absent when it is written in
            place there.
        sources: the tensor of the graph that a line defines.
        statements: the definition of every tensor.
        taken: every name that an index must differ from.
        constants: named numbers.
        lines: the line that defines an array expression; `current` is the one under way.
    """

    def __init__(self, derivation: Derivation) -> None:
        graph = derivation.graph
        of = derivation.cotangents.of
        self.shown = {name: name for name in graph.tensors if not name.startswith("_")}
        self.shown |= {t.name: t.name for t in derivation.cotangents.upstream.values()}
        self.sources: dict[str, str] = {}
        for line in derivation.lines:
            cotangent = of.get(line.of)
            source = line.of if line.role == "inner" else line.name  # a block of a cotangent
            if line.role != "inner" and cotangent is not None:
                source = cotangent.name
            self.sources[line.name] = source
            self.shown.setdefault(source or line.name, line.name)
        self.statements: dict[str, AnyStatement] = dict(graph.definitions)
        self.statements |= {s.out.name: s for s in derivation.closed.statements}
        self.constants = graph.constants
        self.current = ""
        self.lines: dict[Tree, str] = {
            line.tree: line.name
            for line in derivation.lines
            if line.role != "inner" and not isinstance(line.tree, Name)  # db = dz: dz is shorter
        }
        self.taken = frozenset((*self.shown.values(), *graph.constants, *graph.dimensions))

    def statement(self, line: Line) -> AnyStatement | None:
        """What a line says in index notation; None when it is an array expression only."""
        return self.statements.get(self.sources[line.name])

    def written(self, base: Atom) -> Poly | None:
        """The definition of an entry that has no name in the lines."""
        if not isinstance(base, Access) or base.tensor.name in self.shown:
            return None
        statement = self.statements.get(base.tensor.name)
        if not isinstance(statement, Statement) or statement.reduce != "sum":
            return None
        return statement.body.substitute(dict(zip(statement.free, base.index, strict=True)))

    def expanded(self, body: Poly) -> Poly:
        """Entries without a name written out where that leaves sums and products as they are."""
        while True:
            terms = tuple(part for term in body.terms for part in self.opened(term))
            if terms == body.terms:
                return body
            body = poly_of(terms)

    def opened(self, term: Term) -> tuple[Term, ...]:
        for base, exponent in () if term.bound else term.factors:
            inner = self.written(base)
            if inner is None:
                continue
            if exponent == 1 and len(term.factors) == 1:
                return inner.scaled(term.coefficient).terms
            single = inner.single
            if single is not None and not single.bound and exponent.denominator == 1:
                rest = [f for f in term.factors if f[0] is not base]
                power = [(a, e * exponent) for a, e in single.factors]
                scale = term.coefficient * single.coefficient ** int(exponent)
                return (product(scale, [*rest, *power]),)
        return (term,)

    def named(self, name: str) -> str | None:
        """What a tensor is called in the lines: by itself, or by the line that is its value."""
        if name in self.shown:
            return self.shown[name]
        line = self.lines.get(self.array(Name(name)), self.current)
        return None if line == self.current else line

    def base(self, name: str) -> str:
        """What stands before the brackets of an entry: a name, or an array expression."""
        tree = self.array(Name(name))
        line = self.lines.get(tree, self.current)
        return operand(tree if line == self.current else Name(line))

    def array(self, tree: Tree) -> Tree:
        """Every hidden name replaced by its name in the lines, or by what it is."""
        found: dict[str, Tree] = {}
        for name in names(tree):
            if name in self.shown:
                found[name] = Name(self.shown[name])
            elif name in self.statements:
                statement = self.statements[name]
                inner = statement.tree
                if isinstance(statement, Statement) and inner == Name(name):  # a cotangent
                    inner = raised(statement.body, statement.free)
                found[name] = self.array(inner)
        return replace_names(tree, found)
