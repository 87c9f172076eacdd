"""The definitions of a forward graph, forwards and backwards, and the entries they speak of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cached_property

from gradtool.derive.calculus import cancelled
from gradtool.derive.companions import is_opposite
from gradtool.derive.readability import Readability
from gradtool.ir.graph import Statement
from gradtool.ir.index import Affine, Index, Tensor
from gradtool.ir.poly import (
    Access,
    Atom,
    Factor,
    Function,
    Iverson,
    Number,
    Poly,
    Size,
    Symbol,
    Term,
    access,
    defined_at,
    poly_of,
    product,
)
from gradtool.ir.tree import Call, Name
from gradtool.ir.walk import replace_atoms
from gradtool.records import field, replace


class Definitions(Readability, frozen=True, dict=True):
    """What the values of a graph are defined to be.

    Attributes:
        solved: ways to write a value through later ones, once they were looked for.
    """

    fractions: dict[str, Poly | None] = field(default_factory=dict)
    solved: dict[str, list[tuple[Statement, Access, Poly]]] = field(default_factory=dict)

    @cached_property
    def definitions(self) -> Mapping[str, Statement]:
        return {
            s.out.name: s
            for s in self.graph.statements
            if isinstance(s, Statement) and s.reduce == "sum" and s.out.kind == "real"
        }

    @cached_property
    def _monomials(self) -> list[tuple[Statement, Term]]:
        """Statements whose body is one product, latest first (the most telling names)."""
        found: list[tuple[Statement, Term]] = []
        for statement in reversed(list(self.definitions.values())):
            term = statement.body.single
            if term is None or all(isinstance(a, Symbol | Size | Number) for a, _ in term.factors):
                continue
            found.append((statement, term))
            opened = self.open_products(statement.body, but=statement.out.name).single
            if opened is not None and opened != term:
                found.append((statement, opened))
            plain = term if opened is None else opened
            if all(isinstance(a, Function) for a, _ in plain.factors):
                # exp(-z**2 / 2) is found where the square was never a value of its own.
                powers = self._without_powers(poly_of((plain,))).single
                if powers is not None and powers != plain:
                    found.append((statement, powers))
        return found

    @cached_property
    def _patterns(self) -> list[tuple[Statement, Term, frozenset[str]]]:
        """The products, with the tensors that a term must mention to contain them."""
        return [(s, term, term.mentions) for s, term in self._monomials]

    @cached_property
    def _words(self) -> list[tuple[Statement, Term, frozenset[str]]]:
        """Softmaxes and sigmoids with their exponentials written out, and what they divide by.

        The divisor comes first, whose place tells that of the exponential: in
        ``exp(x[i]) / sums[j]`` of windows ``x[j + k]`` the k is known with j only.
        """
        found: list[tuple[Statement, Term, frozenset[str]]] = []
        for statement, term in self._monomials:
            if has_word(statement):
                plain = self.open_exponentials(term)
                factors = tuple(sorted(plain.factors, key=lambda factor: factor[1]))
                divisors = (product(Fraction(1), (f,)).mentions for f in factors if f[1] < 0)
                found.append(
                    (statement, replace(plain, factors=factors), frozenset().union(*divisors))
                )
        return found

    @cached_property
    def _opposites(self) -> Mapping[str, Tensor]:
        """The companions ``1 - R``, each with its R."""
        return {
            s.out.name: self.graph.tensors[s.tree.args[1].id]
            for s in self.definitions.values()
            if is_opposite(s) and isinstance(s.tree, Call) and isinstance(s.tree.args[1], Name)
        }

    def open_exponentials(self, term: Term) -> Term:
        """A product with its inner exponentials and reciprocals written out."""
        factors: list[Factor] = []
        for base, exponent in term.factors:
            inner = self.definitions.get(base.tensor.name) if isinstance(base, Access) else None
            if isinstance(base, Access) and inner is not None and self._is_part_of_word(inner):
                base, power = defined_at(inner.body, inner.free, base.index).terms[0].factors[0]
                exponent *= power
            factors.append((base, exponent))
        return product(term.coefficient, factors, term.bound)

    def _is_part_of_word(self, statement: Statement) -> bool:
        """An inner ``exp(z)``, or ``1 / u``."""
        term = statement.body.single
        if not self.hidden(statement.out.name) or term is None or len(term.factors) != 1:
            return False
        base, exponent = term.factors[0]
        if term.coefficient != 1 or term.bound:
            return False
        if isinstance(base, Function):
            return exponent == 1 and base.name == "exp"
        return exponent == -1 and isinstance(base, Access)

    @cached_property
    def _unnamed_products(self) -> frozenset[str]:
        """Inner values that are plain products: writing the factors may share more."""
        return frozenset(
            s.out.name
            for s in self.definitions.values()
            if s.hidden
            and s.out.name not in self.graph.hints
            and (term := s.body.single) is not None
            and not term.bound
            and (len(term.factors) > 1 or term.coefficient != 1)
            and not self._telling(s)
        )

    def _without_powers(self, body: Poly) -> Poly:
        """Inner values that are powers of one value written out, everywhere."""

        def change(base: Atom) -> Poly | None:
            if not isinstance(base, Access) or not self.hidden(base.tensor.name):
                return None
            statement = self.definitions.get(base.tensor.name)
            term = None if statement is None else statement.body.single
            if statement is None or term is None or term.bound or len(term.factors) != 1:
                return None
            if not isinstance(term.factors[0][0], Access) or term.factors[0][1] < 1:
                return None
            return self._without_powers(defined_at(statement.body, statement.free, base.index))

        return replace_atoms(body, change)

    @staticmethod
    def _telling(statement: Statement) -> bool:
        """A product that one word names (softmax) is better than its factors."""
        tree = statement.tree
        return not (isinstance(tree, Call) and tree.op in ("mul", "div", "pow", "neg"))

    def open_products(self, body: Poly, but: str = "") -> Poly:
        """Write unnamed products as their factors, everywhere."""

        def change(base: Atom) -> Poly | None:
            if not isinstance(base, Access) or base.tensor.name not in self._unnamed_products:
                return None
            if base.tensor.name == but:
                return None
            statement = self.definitions[base.tensor.name]
            entry = defined_at(statement.body, statement.free, base.index)
            return self.open_products(entry)

        return replace_atoms(body, change, self._unnamed_products)

    @cached_property
    def order(self) -> Mapping[str, int]:
        return {name: k for k, name in enumerate(self.graph.tensors)}

    def expand(self, body: Poly, name: str) -> Poly:
        """Replace every entry of a tensor by its definition."""
        statement = self.definitions[name]
        if any(t.bound for t in statement.body.terms) and any(
            isinstance(b, Access) and b.tensor.name == name and (e < 0 or e.denominator != 1)
            for t in body.terms
            for b, e in t.factors
        ):
            return body  # a sum under a root or a fraction stays a value of its own

        def change(base: Atom) -> Poly | None:
            if not isinstance(base, Access) or base.tensor.name != name:
                return None
            return defined_at(statement.body, statement.free, base.index)

        return replace_atoms(body, change, (name,))

    def is_product(self, name: str) -> bool:
        """A named product without a sum, such as ``h = o * tanh(c)``."""
        statement = self.definitions.get(name)
        term = None if statement is None or self.hidden(name) else statement.body.single
        return term is not None and not term.bound and len(term.factors) > 1

    def is_power(self, name: str) -> bool:
        """An inner value ``x**gamma``."""
        statement = self.definitions.get(name)
        term = None if statement is None or not self.hidden(name) else statement.body.single
        return term is not None and any(
            isinstance(base, Function) and base.name == "pow" for base, _ in term.factors
        )

    def cancelled(self, body: Poly) -> Poly | None:
        """An expression as one cancelled fraction; None when it has sums."""
        if body.key not in self.fractions:
            self.fractions[body.key] = cancelled(body)
        return self.fractions[body.key]

    def is_quotient(self, name: str) -> bool:
        """Defined as one product with a denominator, such as ``A = Z / u``."""
        statement = self.definitions.get(name)
        term = None if statement is None else statement.body.single
        return (
            term is not None
            and not term.bound
            and len(term.factors) > 1
            and any(e < 0 and isinstance(b, Access) for b, e in term.factors)
        )

    def has_shorter_power(self, name: str) -> bool:
        """Whether a power of this inner value has a name of its own, or it has one itself."""
        return not self.hidden(name) or any(
            not s.hidden
            and len(term.factors) == 1
            and not term.bound
            and isinstance(term.factors[0][0], Access)
            and term.factors[0][0].tensor.name == name
            for s, term in self._monomials
        )

    def solutions(self, name: str) -> Iterator[tuple[Statement, Access, Poly]]:
        """Ways to write a tensor's entry through a later sum that contains it.

        From ``xc = X - mu`` follows ``X = xc + mu``: the statement, the entry solved for, and the
        expression for it.
        """
        if any(r.name == name for r in self._opposites.values()):
            return  # exp(-z) / (1 + exp(-z))**2 is found with 1 / (1 + exp(-z)) only
        if name not in self.solved:
            self.solved[name] = [
                (statement, *solution)
                for statement in self.definitions.values()
                if len(statement.body.terms) > 1 and not any(t.bound for t in statement.body.terms)
                for term in statement.body.terms
                if (solution := self._solve(statement, term, name)) is not None
            ]
        yield from self.solved[name]

    def _solve(self, statement: Statement, term: Term, name: str) -> tuple[Access, Poly] | None:
        solution = _solution(statement, term, name)
        if solution is None:
            return None
        divisors = (b for b, e in term.factors if b is not solution[0] and e > 0)
        return solution if all(map(self._never_zero, divisors)) else None

    def _never_zero(self, base: Atom) -> bool:
        """Whether a value may be divided by that the forward pass only multiplies with.

        A condition may not: where it is false, the sum says nothing about the other factor.
        """
        match base:
            case Symbol(name=name):
                return name not in self.graph.constants  # a size
            case Size() | Number():
                return True
            case Function(name=name):
                return name == "exp"
        return False


def has_word(statement: Statement) -> bool:
    """A softmax or a sigmoid: its factors overflow where it does not, so it is always better."""
    word = isinstance(statement.tree, Call) and statement.tree.op in ("softmax", "sigmoid")
    return word or is_opposite(statement)


def _solution(statement: Statement, term: Term, name: str) -> tuple[Access, Poly] | None:
    own = [
        (base, exponent)
        for base, exponent in term.factors
        if isinstance(base, Access) and base.tensor.name == name
    ]
    if len(own) != 1 or own[0][1] != 1:
        return None
    target = own[0][0]
    indices = [entry.as_index for entry in target.index if entry.as_dim is None]
    live = {i for i in statement.free if i.size.as_int != 1}
    if None in indices or len(set(indices)) != len(indices) or set(indices) != live:
        return None
    rest = tuple((b, e) for b, e in term.factors if b is not target)
    if any(
        isinstance(b, Access) and b.tensor.name == name
        for t in statement.body.terms
        if t is not term
        for b, _ in t.factors
    ):
        return None
    others = Poly(tuple(t for t in statement.body.terms if t is not term))
    inverse = poly_of((product(1 / term.coefficient, tuple((b, -e) for b, e in rest)),))
    return target, (access(statement.out, statement.free) - others) * inverse


def entry_of(
    statement: Statement, bindings: Mapping[Index, Affine], beside: tuple[Factor, ...] = ()
) -> Access | None:
    """The statement's tensor at the matched indices; None when one is not determined.

    A shifted index may leave the range for which the definition speaks.  Where another factor,
    one of `beside`, is an array that ends at the same place, or the condition that it does not, the
    product is zero there anyway.
    """
    entries: list[Affine] = []
    for index in statement.free:
        if index.size.as_int == 1:
            entries.append(Affine.of(0))
        elif index in bindings:
            entries.append(bindings[index])
        else:
            return None
    for index, entry in zip(statement.free, entries, strict=True):
        if entry.as_index is None and not entry.within(index.size):
            if not _ends_there(entry, index, beside):
                return None
            continue
        bare = entry.as_index
        if bare is not None and bare.size != index.size and not _ends_there(entry, index, beside):
            return None
    return Access(statement.out, tuple(entries))


def _ends_there(entry: Affine, index: Index, factors: tuple[Factor, ...]) -> bool:
    ends = (Iverson("ge", entry), Iverson("ge", Affine.of(index.size - 1) - entry))
    if all(end.decided or any(base == end for base, _ in factors) for end in ends):
        return True
    return any(
        isinstance(base, Access)
        and exponent > 0
        and any(
            axis == index.size and other == entry
            for axis, other in zip(base.tensor.shape, base.index, strict=True)
        )
        for base, exponent in factors
    )
