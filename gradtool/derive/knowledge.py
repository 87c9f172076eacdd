"""What the forward pass tells about its own values.

Three kinds of identities, all of them definitions read backwards or proved by expanding them:
a product that is a named value (``exp(S)/sums`` is P), a sum that is a named value, and a sum
that is a number whatever the inputs are (``xhat.sum(axis=0) = 0``, ``P.sum(axis=1) = 1``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cached_property

from gradtool.derive.definitions import Definitions, entry_of, has_word
from gradtool.derive.guards import Guards
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
    Number,
    Poly,
    Size,
    Symbol,
    Term,
    atom,
    defined_at,
    poly_of,
    product,
)
from gradtool.ir.walk import accesses, replace_atoms
from gradtool.records import field

_MAX_EXPANSIONS = 12


class Knowledge(Definitions, frozen=True, dict=True):
    """The definitions of a forward graph, ready for use on products of its entries."""

    proved: dict[str, Poly | None] = field(default_factory=dict)
    # What was found out before, by the canonical text of the expression.
    folded: dict[str, Poly | None] = field(default_factory=dict)
    opened: dict[str, Poly] = field(default_factory=dict)
    short: dict[str, Poly] = field(default_factory=dict)

    @staticmethod
    def of_graph(graph: Graph) -> Knowledge:
        """What is known of a graph, kept with it for everything that is derived from it."""
        return graph.once(Knowledge)

    @cached_property
    def _guards(self) -> Guards:
        return Guards.of_graph(self.graph)

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
        powers = self._divided_powers(term)
        if powers is not None:
            yield powers
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
        opened = self.open_exponentials(term) if self._words else term
        for statement, pattern, divisors in self._words:
            if divisors <= opened.mentions:
                word = self._product_reading(statement, pattern, opened)
                if word is not None:
                    yield self._with_reciprocals(word)
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
                if self._guards.unsafe(f for f in kept if f[0] != base):
                    continue
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
                    if self._guards.unsafe(f for f in kept if f[0] != base):
                        continue
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
            if self.cost(opened) > self.cost(atom(base)):
                continue  # a clip written out is several cases
            rest = [*term.factors[:place], *term.factors[place + 1 :]]
            rest += [(inner, power * exponent) for inner, power in new.factors]
            return poly_of((product(term.coefficient * new.coefficient, rest, term.bound),))
        return None

    def _opened_condition(self, condition: Compare) -> Poly:
        """A condition without inner values, to see that two are the same."""
        return self._without_inner(atom(condition))

    def _without_inner(self, whole: Poly) -> Poly:
        """An expression with its inner values written out, as far as they are no sums."""
        if whole.key in self.opened:
            return self.opened[whole.key]
        body = whole
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
        self.opened[whole.key] = body
        return body

    def _divided_powers(self, term: Term) -> Poly | None:
        """``x**(b - 1) / p`` is ``1 / x`` where p is ``x**b``: a slope divided by its power."""
        for base, exponent in term.factors:
            if not isinstance(base, Function) or base.name != "pow" or exponent < 1:
                continue
            for below, power in term.factors:
                if not isinstance(below, Access) or power > -1:
                    continue
                statement = self.definitions.get(below.tensor.name)
                if statement is None or statement.body.single is None:
                    continue
                whole = defined_at(statement.body, statement.free, below.index).single
                if whole is None or whole.coefficient != 1 or len(whole.factors) != 1:
                    continue
                other, one = whole.factors[0]
                if not isinstance(other, Function) or other.name != "pow" or one != 1:
                    continue
                left = (base.args[1] - other.args[1]).constant
                same, there = map(self._without_inner, (base.args[0], other.args[0]))
                if same != there or left is None:
                    continue
                kept = [(b, e) for b, e in term.factors if b not in (base, below)]
                kept += [(base, exponent - 1), (below, power + 1)]
                kept = [(b, e) for b, e in kept if e]
                rest = other.args[0].power(left)
                if any(t.bound for t in rest.terms):
                    continue
                factors = [(*kept, *t.factors) for t in rest.terms]
                return poly_of(
                    product(term.coefficient * t.coefficient, f, term.bound)
                    for t, f in zip(rest.terms, factors, strict=True)
                )
        return None

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
                guards = self._guards
                if guards.unsafe(((entry, Fraction(1)),)) and not guards.unsafe(((found, power),)):
                    continue  # x has a value where its root, or 1 / x, has none
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
            entry = entry_of(statement, bindings, term.factors)
            if summed is None or entry is None:
                continue
            rest = self._without_guards_of(entry, rest)
            kept = self.still_needed(term, rest)
            if any(not base.indices.isdisjoint({*term.bound} - {*summed}) for base, _ in kept):
                continue
            folded = product(
                term.coefficient / pattern.coefficient, (*rest, *kept, (entry, Fraction(1))), summed
            )
            simple = all(isinstance(a, Function) for a, _ in pattern.factors)
            if simple or has_word(statement) or self.term_cost(folded) < self.term_cost(term):
                return poly_of((folded,))
        return None

    def _with_reciprocals(self, body: Poly) -> Poly:
        """A companion ``1 - R`` written out, so that it meets others in R."""

        def change(base: Atom) -> Poly | None:
            if not isinstance(base, Access) or base.tensor.name not in self._opposites:
                return None
            return UNIT - atom(Access(self._opposites[base.tensor.name], base.index))

        return replace_atoms(body, change, self._opposites) if self._opposites else body

    def still_needed(self, term: Term, rest: tuple[Factor, ...]) -> tuple[Factor, ...]:
        """The conditions that a product loses when only `rest` of it stays, and that guard that."""
        if not self._guards.unsafe(rest):
            return ()
        return tuple(f for f in term.factors if f[0].is_condition and f not in rest)

    def _without_guards_of(self, entry: Access, rest: tuple[Factor, ...]) -> tuple[Factor, ...]:
        """The factors beside an entry, without those that say again where its array ends."""
        implied = {guard.oriented for guard in entry.guards}
        if implied.isdisjoint(base for base, _ in rest) or self._guards.unsafe(rest):
            return rest
        return tuple(f for f in rest if f[0] not in implied)

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
