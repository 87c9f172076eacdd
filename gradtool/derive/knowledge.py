"""What the forward pass tells about its own values.

Three kinds of identities, all of them definitions read backwards or proved by expanding them:
a product that is a named value (``exp(S)/sums`` is P), a sum that is a named value, and a sum
that is a number whatever the inputs are (``xhat.sum(axis=0) = 0``, ``P.sum(axis=1) = 1``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

from gradtool.derive.calculus import cancelled
from gradtool.derive.factor import Choice, Contraction, Product, Sum, Unit, nested
from gradtool.derive.match import matches, unify
from gradtool.ir.graph import Graph, Statement
from gradtool.ir.index import Affine, Index
from gradtool.ir.poly import (
    NOTHING,
    UNIT,
    Access,
    Atom,
    Compare,
    Factor,
    Function,
    Group,
    Iverson,
    Number,
    Poly,
    Size,
    Symbol,
    Term,
    access,
    atom,
    defined_at,
    poly_of,
    product,
)
from gradtool.ir.tree import Call, Name, Tree, children
from gradtool.ir.walk import accesses, replace_atoms

_MAX_EXPANSIONS = 12
_KNOWN_PATTERN = 2.5  # everybody reads a * (1 - a) as one thing


@dataclass(frozen=True)
class Knowledge:
    """The definitions of a forward graph, ready for use on products of its entries."""

    graph: Graph
    proved: dict[str, Poly | None] = field(default_factory=dict)
    # What was found out before, by the canonical text of the expression.
    folded: dict[str, Poly | None] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    opened: dict[str, Poly] = field(default_factory=dict)
    short: dict[str, Poly] = field(default_factory=dict)
    fractions: dict[str, Poly | None] = field(default_factory=dict)
    solved: dict[str, list[tuple[Statement, Access, Poly]]] = field(default_factory=dict)

    @staticmethod
    def of_graph(graph: Graph) -> Knowledge:
        """What is known of a graph, kept with it for everything that is derived from it."""
        known = graph.memory.get(Knowledge)
        if known is None:
            known = graph.memory[Knowledge] = Knowledge(graph)
        assert isinstance(known, Knowledge)
        return known

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
        return found

    @cached_property
    def _patterns(self) -> list[tuple[Statement, Term, frozenset[str]]]:
        """The products, with the tensors that a term must mention to contain them."""
        return [(s, term, term.mentions) for s, term in self._monomials]

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

    # -- readability ----------------------------------------------------------------------

    @cached_property
    def _hidden(self) -> frozenset[str]:
        return frozenset(s.out.name for s in self.graph.statements if s.hidden)

    def hidden(self, name: str) -> bool:
        return name in self._hidden

    @cached_property
    def _weights(self) -> dict[str, float]:
        return {}

    def weight_of(self, name: str) -> float:
        """1 for a value with a name; an inner value counts as what must be written for it."""
        if name not in self._hidden:
            return 1.0
        if name in self.graph.hints:
            return 1.2  # a used spec named it, so it has a name already
        known = self._weights
        if name not in known:
            statement = self.graph.definitions[name]
            known[name] = min(12.0, 0.5 + self._tree_weight(statement.tree, name))
        return known[name]

    def _tree_weight(self, tree: Tree, own: str) -> float:
        if isinstance(tree, Name):
            return 1.0 if tree.id == own else self.weight_of(tree.id)
        inner = sum(self._tree_weight(child, own) for child in children(tree))
        return 0.5 + inner

    def weight(self, base: Atom) -> float:
        match base:
            case Access(tensor=tensor, index=index):
                plain = sum(1 for e in index if e.as_index is None and e.as_dim is None)
                return self.weight_of(tensor.name) + 0.5 * plain
            case Symbol() | Number():
                return 0.6
            case Size():
                return 1.2
            case Function(args=args):
                return 1.0 + sum(self.cost(a) for a in args)
            case Compare(left=left, right=right):
                return 1.0 + self.cost(left) + self.cost(right)
            case Group(poly=poly):
                return 0.5 + self.cost(poly)
            case Iverson():
                return 1.2
        return 1.0

    def term_cost(self, term: Term) -> float:
        cost = 0.4 + 0.7 * len(term.bound)
        for base, exponent in term.factors:
            cost += self.weight(base) + (0.0 if exponent in (1, -1) else 0.3)
        if abs(term.coefficient) != 1:
            cost += 0.3
        return cost

    def cost(self, body: Poly) -> float:
        """What an expression costs a reader when common factors are pulled out."""
        if body.key not in self.costs:
            self.costs[body.key] = self._sum_cost(nested(body)) if body.terms else 0.0
        return self.costs[body.key]

    def _sum_cost(self, total: Sum) -> float:
        return sum(self._product_cost(p) for p in total.products) + 0.6 * (len(total.products) - 1)

    def _product_cost(self, factors: Product) -> float:
        cost = 0.4 if abs(factors.coefficient) == 1 else 0.7
        for unit, exponent in factors.factors:
            cost += self._unit_cost(unit) + (0.0 if exponent in (1, -1) else 0.3)
        return cost - _KNOWN_PATTERN * _is_slope(factors)

    def _unit_cost(self, unit: Unit) -> float:
        match unit:
            case Sum():
                return self._sum_cost(unit)
            case Choice(condition=condition, yes=yes, no=no):
                return self.weight(condition) + self._sum_cost(yes) + self._sum_cost(no)
            case Contraction(term=term):
                return self.term_cost(term)
            case _:
                return self.weight(unit)

    # -- identities -----------------------------------------------------------------------

    def fold(self, body: Poly) -> Poly:
        """Apply identities until none makes the expression simpler."""
        for _ in range(40):
            changed = self._fold_once(body)
            if changed is None:
                return body
            body = changed
        return body

    def _fold_once(self, body: Poly) -> Poly | None:
        result: list[Term] = []
        changed = False
        for term in body.terms:
            new = self._fold_term(term)
            if new is None:
                result.append(term)
            else:
                changed = True
                result.extend(new.terms)
        return poly_of(result) if changed else None

    def _fold_term(self, term: Term) -> Poly | None:
        if term.key not in self.folded:
            self.folded[term.key] = next(self._readings(term), None)
        return self.folded[term.key]

    def _readings(self, term: Term) -> Iterator[Poly]:
        masked = self._without_mask(term)
        if masked is not None:
            yield masked
        rectified = self._rectified(term)
        if rectified is not None:
            yield rectified
        named = self._in_named_conditions(term)
        if named is not None:
            yield named
        signs = _without_signs(term)
        if signs is not None:
            yield signs
        present = term.mentions
        for statement, pattern, needed in self._patterns:
            if not needed <= present:
                continue
            if not pattern.bound:
                solved = self._power_reading(statement, pattern, term)
                if solved is not None:
                    yield solved
            rewritten = self._product_reading(statement, pattern, term)
            if rewritten is not None:
                yield rewritten
        number = self._sum_reading(term)
        if number is not None:
            yield number

    @cached_property
    def _rectifiers(self) -> list[tuple[Statement, Access]]:
        """Named values ``h = z * (z > 0)``, with the unnamed z: ``z > 0`` says ``h > 0``."""
        found: list[tuple[Statement, Access]] = []
        for statement in self.definitions.values():
            term = statement.body.single
            if statement.hidden or term is None or term.coefficient != 1 or len(term.factors) != 2:
                continue
            atoms = [base for base, exponent in term.factors if exponent == 1]
            inner = next((a for a in atoms if isinstance(a, Access)), None)
            if inner is None or not self.hidden(inner.tensor.name):
                continue
            if Compare(">", atom(inner), NOTHING) in atoms:
                found.append((statement, inner))
        return found

    def _rectified(self, term: Term) -> Poly | None:
        for place, (base, exponent) in enumerate(term.factors):
            if not isinstance(base, Compare):
                continue
            for statement, inner in self._rectifiers:
                wanted = Compare(">", atom(inner), NOTHING)
                variables = frozenset(statement.free)
                bindings = unify(wanted, base, variables, {})
                entry = None if bindings is None else entry_of(statement, bindings)
                if entry is None:
                    continue
                rest = list(term.factors)
                rest[place] = (Compare(">", atom(entry), NOTHING), exponent)
                return poly_of((product(term.coefficient, rest, term.bound),))
        return None

    def _without_mask(self, term: Term) -> Poly | None:
        """``m * (z > 0)`` is m when every term of m has that condition."""
        conditions = [b for b, _ in term.factors if isinstance(b, Compare)]
        for base, exponent in term.factors if conditions else ():
            if not isinstance(base, Access) or exponent < 1:
                continue
            statement = self.definitions.get(base.tensor.name)
            if statement is None:
                continue
            body = defined_at(statement.body, statement.free, base.index)
            own = Compare(">", atom(base), NOTHING)
            if own in conditions and any(s is statement for s, _ in self._rectifiers):
                kept = tuple(f for f in term.factors if f[0] != own)
                return poly_of((product(term.coefficient, kept, term.bound),))
            for condition in conditions:
                meant = self._opened_condition(condition)
                # A condition on what m sums over is another one, though its index may be called
                # like an index of this product.
                if body.terms and all(
                    any(
                        isinstance(b, Compare)
                        and b.indices.isdisjoint(t.bound)
                        and self._opened_condition(b) == meant
                        for b, _ in t.factors
                    )
                    for t in body.terms
                ):
                    kept = tuple(f for f in term.factors if f[0] != condition)
                    return poly_of((product(term.coefficient, kept, term.bound),))
        return None

    def _in_named_conditions(self, term: Term) -> Poly | None:
        """A condition on an inner value as one on named values, where that is possible."""
        for place, (base, exponent) in enumerate(term.factors):
            if not isinstance(base, Compare) or not any(
                self.hidden(a.tensor.name) for a in accesses(atom(base))
            ):
                continue
            opened = self._opened_condition(base)
            new = opened.single
            if new is None or any(self.hidden(a.tensor.name) for a in accesses(opened)):
                continue
            rest = [*term.factors[:place], *term.factors[place + 1 :]]
            rest += [(inner, power * exponent) for inner, power in new.factors]
            return poly_of((product(term.coefficient * new.coefficient, rest, term.bound),))
        return None

    def _opened_condition(self, condition: Compare) -> Poly:
        """A condition without inner values, to see that two are the same."""
        if condition.key in self.opened:
            return self.opened[condition.key]
        body = atom(condition)
        for _ in range(6):
            names = {
                a.tensor.name
                for a in accesses(body)
                if self.hidden(a.tensor.name)
                and a.tensor.name in self.definitions
                and not any(t.bound for t in self.definitions[a.tensor.name].body.terms)
            }
            if not names:
                break
            body = self.expand(body, max(names, key=lambda n: self.order[n]))
        self.opened[condition.key] = body
        return body

    def _power_reading(self, statement: Statement, pattern: Term, term: Term) -> Poly | None:
        """``std = v**(1/2)`` read backwards: every power of v is a power of std."""
        if len(pattern.factors) != 1 or pattern.coefficient != 1:
            return None
        ((base, exponent),) = pattern.factors
        if exponent == 1 or (1 / exponent).denominator != 1 or not isinstance(base, Access):
            return None
        if self.hidden(statement.out.name) and not self.hidden(base.tensor.name):
            return None
        for place, (found, power) in enumerate(term.factors):
            if not isinstance(found, Access) or found.tensor.name != base.tensor.name:
                continue
            for bindings, _ in matches(
                ((base, Fraction(1)),), frozenset(statement.free), ((found, Fraction(1)),)
            ):
                entry = entry_of(statement, bindings)
                if entry is None:
                    continue
                rest = term.factors[:place] + term.factors[place + 1 :]
                new: Factor = (entry, power / exponent)
                return poly_of((product(term.coefficient, (*rest, new), term.bound),))
        return None

    def _product_reading(self, statement: Statement, pattern: Term, term: Term) -> Poly | None:
        """The factors of a definition, summed over its bound indices, are its value."""
        variables = frozenset((*statement.free, *pattern.bound))
        if len(pattern.bound) > len(term.bound):
            return None
        for bindings, rest in matches(pattern.factors, variables, term.factors):
            summed = self._summed(pattern, bindings, rest, term)
            entry = entry_of(statement, bindings, rest)
            if summed is None or entry is None:
                continue
            folded = product(
                term.coefficient / pattern.coefficient, (*rest, (entry, Fraction(1))), summed
            )
            simple = all(isinstance(a, Function) for a, _ in pattern.factors)
            if simple or self.term_cost(folded) < self.term_cost(term):
                return poly_of((folded,))
        return None

    def _summed(
        self,
        pattern: Term,
        bindings: Mapping[Index, Affine],
        rest: tuple[Factor, ...],
        term: Term,
    ) -> tuple[Index, ...] | None:
        """The bound indices that stay, when the pattern's are summed over nothing else."""
        used: list[Index] = []
        for index in pattern.bound:
            image = bindings.get(index)
            target = None if image is None else image.as_index
            if target is None or target not in term.bound or target in used:
                return None
            if target.size != index.size or any(target in a.indices for a, _ in rest):
                return None
            used.append(target)
        for index, image in bindings.items():
            if index not in pattern.bound and not image.indices.isdisjoint(used):
                return None
        return tuple(i for i in term.bound if i not in used)

    # -- sums that are numbers ------------------------------------------------------------

    def _sum_reading(self, term: Term) -> Poly | None:
        for index in term.bound:
            inside, outside, bound = _component(term, index)
            if len(inside) > 2 or len(bound) > 4:
                continue
            if any(not self._provable(base) for base, _ in inside):
                continue
            value = self.sum_of(product(Fraction(1), inside, bound))
            if value is None:
                continue
            rest = tuple(i for i in term.bound if i not in bound)
            left = poly_of((product(term.coefficient, outside, rest),))
            return left * value
        return None

    def _provable(self, base: Atom) -> bool:
        return isinstance(base, Access) and (
            base.tensor.name in self.definitions or base.tensor.name in self.graph.distributions
        )

    def sum_of(self, term: Term) -> Poly | None:
        """The value of a sum that does not depend on any tensor, by expanding definitions."""
        if self._is_distribution(term):
            return UNIT
        if term.key not in self.proved:
            self.proved[term.key] = None  # a definition may lead back here
            self.proved[term.key] = self._expanded_sum(poly_of((term,)))
        return self.proved[term.key]

    def _is_distribution(self, term: Term) -> bool:
        """An input whose domain says that it sums to one over its last axis."""
        if len(term.factors) != 1 or len(term.bound) != 1 or term.factors[0][1] != 1:
            return False
        base = term.factors[0][0]
        return (
            isinstance(base, Access)
            and base.tensor.name in self.graph.distributions
            and base.index[-1].as_index == term.bound[0]
        )

    def _expanded_sum(self, body: Poly) -> Poly | None:
        for _ in range(_MAX_EXPANSIONS):
            if _is_number(body):
                return body
            if len(body.terms) > 24:
                return None
            opened = self._open_latest(body)
            if opened is None:
                return None
            body = opened
            folded = self._fold_sums(body)
            if _is_number(folded):
                return folded
        return None

    def _open_latest(self, body: Poly) -> Poly | None:
        """Replace the latest tensor that stands linearly by its definition."""
        candidates = {
            base.tensor.name
            for term in body.terms
            for base, exponent in term.factors
            if isinstance(base, Access)
            and base.tensor.name in self.definitions
            and (exponent == 1 or len(self.definitions[base.tensor.name].body.terms) == 1)
            and not any(
                t.bound and exponent != 1 for t in self.definitions[base.tensor.name].body.terms
            )
        }
        if not candidates:
            return None
        name = max(candidates, key=lambda n: self.order[n])
        return self.expand(body, name)

    def _fold_sums(self, body: Poly) -> Poly:
        """Recognise sums only: the cheap way back from ``sum of E`` to the row sum."""
        result: list[Term] = []
        for term in body.terms:
            replaced: Poly | None = None
            if term.bound:
                present = term.mentions
                for statement, pattern, needed in self._patterns:
                    if pattern.bound and needed <= present:
                        replaced = self._product_reading(statement, pattern, term)
                        if replaced is not None:
                            break
            result.extend(replaced.terms if replaced is not None else (term,))
        return poly_of(result)

    # -- definitions forwards and backwards -----------------------------------------------

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
        if name not in self.solved:
            self.solved[name] = [
                (statement, *solution)
                for statement in self.definitions.values()
                if len(statement.body.terms) > 1 and not any(t.bound for t in statement.body.terms)
                for term in statement.body.terms
                if (solution := _solve(statement, term, name)) is not None
            ]
        yield from self.solved[name]


def _is_slope(factors: Product) -> bool:
    """Whether a product holds ``a * (1 - a)``, the slope of a sigmoid."""
    units = {unit for unit, exponent in factors.factors if exponent == 1}
    return any(
        isinstance(unit, Sum)
        and len(unit.products) == 2
        and not unit.products[0].factors
        and unit.products[1].coefficient == -unit.products[0].coefficient
        and len(unit.products[1].factors) == 1
        and unit.products[1].factors[0][0] in units
        and unit.products[1].factors[0][1] == 1
        for unit in units
    )


def _solve(statement: Statement, term: Term, name: str) -> tuple[Access, Poly] | None:
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
    if any(isinstance(b, Compare | Iverson) for b, _ in rest):
        return None
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
    one of `beside`, is an array that ends at the same place, the product is zero there anyway.
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
    return any(
        isinstance(base, Access)
        and exponent > 0
        and any(
            axis == index.size and other == entry
            for axis, other in zip(base.tensor.shape, base.index, strict=True)
        )
        for base, exponent in factors
    )


def _component(
    term: Term, index: Index
) -> tuple[tuple[Factor, ...], tuple[Factor, ...], tuple[Index, ...]]:
    """The factors tied to a bound index, directly or through other bound indices."""
    bound = {index}
    while True:
        inside = [f for f in term.factors if not f[0].indices.isdisjoint(bound)]
        reached = {i for a, _ in inside for i in a.indices if i in term.bound}
        if reached <= bound:
            break
        bound |= reached
    chosen = {id(f) for f in inside}
    outside = tuple(f for f in term.factors if id(f) not in chosen)
    return tuple(inside), outside, tuple(i for i in term.bound if i in bound)


def _without_signs(term: Term) -> Poly | None:
    """``x * sign(x)`` is ``abs(x)``, and ``abs(x) * sign(x)`` is x."""
    for place, (base, exponent) in enumerate(term.factors):
        if not isinstance(base, Function) or base.name != "sign" or exponent < 1:
            continue
        (argument,) = base.args
        inner = argument.single
        if inner is None or inner.coefficient != 1 or len(inner.factors) != 1:
            continue
        rest = list(term.factors)
        del rest[place]
        if exponent > 1:
            rest.append((base, exponent - 1))
        for other, (found, power) in enumerate(rest):
            if (found, Fraction(1)) == inner.factors[0] and power >= 1:
                rest[other] = (found, power - 1)
                rest.append((Function("abs", (argument,)), Fraction(1)))
            elif found == Function("abs", (argument,)) and power >= 1:
                rest[other] = (found, power - 1)
                rest.append(inner.factors[0])
            else:
                continue
            kept = [(b, e) for b, e in rest if e]
            return poly_of((product(term.coefficient, kept, term.bound),))
    return None


def _is_number(body: Poly) -> bool:
    """Made of sizes and plain numbers only."""
    return all(
        not term.bound and all(isinstance(a, Symbol | Size | Number) for a, _ in term.factors)
        for term in body.terms
    )
