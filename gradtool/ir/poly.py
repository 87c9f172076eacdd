"""The normal form of a scalar expression: sums of products of accesses.

A `Poly` is a sum of `Term`s.  A `Term` is ``coefficient * product of atom**exponent``, summed
over its bound indices.  Terms are canonical: like atoms are collected, Kronecker deltas on bound
indices are eliminated, bound indices that nothing mentions become a factor, and bound indices
are renamed canonically, so that equal terms have equal keys.

Two conventions keep products finite and sums simple:

* an access outside its tensor makes the whole product zero (padding, slices, shifts);
* a 0/1 factor that is 0 makes the whole product zero, whatever the other factors are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Literal, TypeAlias

from gradtool.ir.atoms import (
    Access,
    ByKey,
    Iverson,
    Number,
    Position,
    Size,
    Symbol,
    size_factors,
)
from gradtool.ir.dims import ONE, ZERO, Dim
from gradtool.ir.index import Affine, Index, Label, Tensor
from gradtool.ir.lazy import lazy
from gradtool.ir.rename import canonical_names

_fresh_numbers = itertools.count()
_NONE, _ONCE = Fraction(0), Fraction(1)  # exponents; making a Fraction is not cheap


class Compare(ByKey, frozen=True, eq=False, dict=True):
    """A 0/1 factor of values: ``(left > right)``; `relation` is one of > >= == !=."""

    relation: Literal[">", ">=", "==", "!="]
    left: Poly
    right: Poly

    @property
    def is_condition(self) -> bool:
        return True

    @lazy
    def key(self) -> str:
        return f"({self.left.key} {self.relation} {self.right.key})"

    @lazy
    def indices(self) -> frozenset[Index]:
        return self.left.indices | self.right.indices

    @lazy
    def inner_sums(self) -> frozenset[str]:
        return _summed_inside(self.left, self.right)

    @lazy
    def mentions(self) -> frozenset[str]:
        return self.left.mentions | self.right.mentions

    def substitute(self, values: Mapping[Index, Affine]) -> Compare:
        if self.indices.isdisjoint(values):
            return self
        return Compare(self.relation, self.left.substitute(values), self.right.substitute(values))

    @lazy
    def decided(self) -> bool | None:
        """Whether it always holds or never holds; None when that is not known."""
        difference = (self.left - self.right).constant
        if difference is None:
            return None
        return {
            ">": difference > 0,
            ">=": difference >= 0,
            "==": difference == 0,
            "!=": difference != 0,
        }[self.relation]

    def negated(self) -> Compare:
        """The opposite condition, as an atom of its own."""
        return self._negated

    @lazy
    def _negated(self) -> Compare:
        match self.relation:
            case ">":
                return Compare(">=", self.right, self.left)
            case ">=":
                return Compare(">", self.right, self.left)
            case "==":
                return Compare("!=", self.left, self.right)
            case "!=":
                return Compare("==", self.left, self.right)


class Function(ByKey, frozen=True, eq=False, dict=True):
    """A scalar function of the vocabulary applied to scalar expressions without sums."""

    name: str
    args: tuple[Poly, ...]

    @lazy
    def key(self) -> str:
        return f"{self.name}({','.join(a.key for a in self.args)})"

    @lazy
    def indices(self) -> frozenset[Index]:
        return frozenset().union(*(a.indices for a in self.args))

    @lazy
    def inner_sums(self) -> frozenset[str]:
        return _summed_inside(*self.args)

    @lazy
    def mentions(self) -> frozenset[str]:
        return frozenset[str]().union(*(a.mentions for a in self.args))

    def substitute(self, values: Mapping[Index, Affine]) -> Function:
        if self.indices.isdisjoint(values):
            return self
        return Function(self.name, tuple(a.substitute(values) for a in self.args))


class Group(ByKey, frozen=True, eq=False, dict=True):
    """A sum kept whole as a factor: the ``(1 - a)`` of ``a*(1 - a)``, or a denominator."""

    poly: Poly

    @lazy
    def key(self) -> str:
        return f"{{{self.poly.key}}}"

    @property
    def indices(self) -> frozenset[Index]:
        return self.poly.indices

    @lazy
    def inner_sums(self) -> frozenset[str]:
        return _summed_inside(self.poly)

    @property
    def mentions(self) -> frozenset[str]:
        return self.poly.mentions

    def substitute(self, values: Mapping[Index, Affine]) -> Group:
        if self.poly.indices.isdisjoint(values):
            return self
        return Group(self.poly.substitute(values))


Atom: TypeAlias = (
    "Access | Symbol | Size | Number | Iverson | Position | Compare | Function | Group"
)
Factor: TypeAlias = tuple[Atom, Fraction]


class Term(ByKey, frozen=True, eq=False, dict=True):
    """``coefficient * product of factors``, summed over `bound`.  Make one with `product`."""

    coefficient: Fraction
    factors: tuple[Factor, ...]
    bound: tuple[Index, ...] = ()

    @lazy
    def body(self) -> str:
        """The key without the coefficient: like terms share it."""
        shown = "*".join(a.key if e == 1 else f"{a.key}^{e}" for a, e in self.factors)
        if not self.bound:
            return shown
        return f"S[{','.join(f'{i.name}<{i.size}' for i in self.bound)}]{shown}"

    @lazy
    def key(self) -> str:
        return f"{self.coefficient}*{self.body}"

    @lazy
    def indices(self) -> frozenset[Index]:
        """The free indices."""
        found = frozenset[Index]().union(*(a.indices for a, _ in self.factors))
        return found - frozenset(self.bound)

    @lazy
    def mentions(self) -> frozenset[str]:
        return frozenset[str]().union(*(a.mentions for a, _ in self.factors))

    def freshened(self) -> Term:
        """The same term with bound indices that nothing else uses (not canonical)."""
        if not self.bound:
            return self
        renamed = {i: Index(f"%{next(_fresh_numbers)}", i.size) for i in self.bound}
        values = {old: Affine.of(new) for old, new in renamed.items()}
        factors = tuple((a.substitute(values), e) for a, e in self.factors)
        return Term(self.coefficient, factors, tuple(renamed.values()))


class Poly(ByKey, frozen=True, eq=False, dict=True):
    """A sum of terms, sorted, like terms collected.  Make one with `poly_of` or arithmetic."""

    terms: tuple[Term, ...]

    @lazy
    def key(self) -> str:
        return " + ".join(t.key for t in self.terms) or "0"

    @lazy
    def indices(self) -> frozenset[Index]:
        return frozenset().union(*(t.indices for t in self.terms))

    @lazy
    def mentions(self) -> frozenset[str]:
        return frozenset[str]().union(*(t.mentions for t in self.terms))

    def __add__(self, other: Poly) -> Poly:
        return poly_of((*self.terms, *other.terms))

    def __neg__(self) -> Poly:
        return Poly(tuple(Term(-t.coefficient, t.factors, t.bound) for t in self.terms))

    def __sub__(self, other: Poly) -> Poly:
        return self + (-other)

    def __mul__(self, other: Poly) -> Poly:
        return poly_of(multiply(a, b) for a in self.terms for b in other.terms)

    def scaled(self, factor: Fraction | int) -> Poly:
        by = Fraction(factor)
        if not by:
            return NOTHING
        return Poly(tuple(Term(t.coefficient * by, t.factors, t.bound) for t in self.terms))

    def over(self, bound: Iterable[Index]) -> Poly:
        """The sum over more indices."""
        extra = tuple(i for i in bound if i.size != ONE)
        if not extra:
            return self
        return poly_of(
            product(t.coefficient, t.factors, (*t.bound, *extra)) for t in self._apart(extra)
        )

    def _apart(self, indices: Iterable[Index]) -> Iterable[Term]:
        names = {i.name for i in indices}
        for term in self.terms:
            clash = any(i.name in names for i in term.bound)
            yield term.freshened() if clash else term

    def substitute(self, values: Mapping[Index, Affine]) -> Poly:
        """Replace free indices by index expressions."""
        if self.indices.isdisjoint(values):
            return self
        result: list[Term] = []
        for term in self.terms:
            apart = term.freshened()
            factors = tuple((a.substitute(values), e) for a, e in apart.factors)
            result.append(product(apart.coefficient, factors, apart.bound))
        return poly_of(result)

    def with_atoms(self, change: Callable[[Atom], Atom]) -> Poly:
        """Every factor replaced by what `change` makes of it."""
        return poly_of(
            product(t.coefficient, [(change(a), e) for a, e in t.factors], t.bound)
            for t in self.terms
        )

    @property
    def single(self) -> Term | None:
        return self.terms[0] if len(self.terms) == 1 else None

    @property
    def constant(self) -> Fraction | None:
        """The value when the expression is a plain number."""
        if not self.terms:
            return Fraction(0)
        term = self.single
        return term.coefficient if term and not term.factors and not term.bound else None

    def power(self, exponent: Fraction | int) -> Poly:
        """``self**exponent``; a sum or an unsafe base stays whole as a `Group`."""
        e = Fraction(exponent)
        if e == 0:
            return UNIT
        if e == 1:
            return self
        term = self.single
        if term is not None and not term.bound:
            whole = e.denominator == 1
            plain = all(x == 1 for _, x in term.factors) and len(term.factors) == 1
            if whole and not (e < 0 and any(a.is_condition for a, _ in term.factors)):
                factors = tuple((a, x * e) for a, x in term.factors)
                return poly_of((product(term.coefficient ** int(e), factors),))
            if plain and term.coefficient == 1:
                return poly_of((product(Fraction(1), ((term.factors[0][0], e),)),))
            if not term.factors and term.coefficient > 0:
                return poly_of((product(Fraction(1), ((Number(term.coefficient), e),)),))
        return poly_of((product(Fraction(1), ((Group(self), e),)),))


NOTHING = Poly(())


def poly_of(terms: Iterable[Term]) -> Poly:
    """Collect like terms, in canonical order."""
    collected: dict[str, Term] = {}
    for term in terms:
        seen = collected.get(term.body)
        if seen is None:
            collected[term.body] = term
        else:
            total = seen.coefficient + term.coefficient
            collected[term.body] = Term(total, seen.factors, seen.bound)
    if len(collected) == 1:
        (only,) = collected.values()
        return Poly((only,)) if only.coefficient else NOTHING
    return Poly(tuple(collected[b] for b in sorted(collected) if collected[b].coefficient))


def number(value: Fraction | int) -> Poly:
    return Poly((Term(Fraction(value), ()),)) if value else NOTHING


def atom(value: Atom, exponent: Fraction | int = 1) -> Poly:
    return poly_of((product(Fraction(1), ((value, Fraction(exponent)),)),))


def size(dim: Dim) -> Poly:
    """A size as a number; a single monomial becomes a product of names."""
    coefficient, factors = size_factors(dim)
    return poly_of((product(coefficient, factors),))


UNIT = number(1)


def defined_at(body: Poly, free: Iterable[Index], entries: Iterable[Affine]) -> Poly:
    """The body of a definition at other indices, zero where those leave its range.

    An access outside its tensor is zero; its definition written out must be zero there too.
    """
    pairs = list(zip(free, entries, strict=True))
    reaching = [(i, e) for i, e in pairs if not e.within(i.size)]
    moved = dict(pairs)
    if not reaching:
        return body.substitute(moved)
    result: list[Term] = []
    for term in body.terms:
        guards = [g for i, e in reaching for g in range_guards(i, e, term.factors)]
        apart = term.freshened()
        factors = tuple((a.substitute(moved), e) for a, e in apart.factors)
        result.append(product(apart.coefficient, (*factors, *guards), apart.bound))
    return poly_of(result)


def access(tensor: Tensor, index: Iterable[Affine | Index | Label | Dim | int]) -> Poly:
    """The entry of a tensor as an expression; an axis of size one has the index 0."""
    entries = tuple(
        Affine((), ZERO) if axis == ONE else Affine.of(entry)
        for axis, entry in zip(tensor.shape, index, strict=True)
    )
    return atom(Access(tensor, entries))


def _summed_inside(*parts: Poly) -> frozenset[str]:
    """Names of indices that are summed inside an atom; an outer sum must not use them."""
    found: set[str] = set()
    for part in parts:
        for term in part.terms:
            found.update(i.name for i in term.bound)
            for inner, _ in term.factors:
                found |= inner.inner_sums
    return frozenset(found)


# -- the canonical form of a product ------------------------------------------------------


def multiply(left: Term, right: Term) -> Term:
    """The product of two terms, bound indices kept apart."""
    if right.bound and left.bound:
        right = right.freshened()
    elif right.bound or left.bound:
        names = {i.name for i in right.bound or left.bound}
        other = left if right.bound else right
        if any(i.name in names for i in other.indices):
            left, right = left.freshened(), right.freshened()
    return product(
        left.coefficient * right.coefficient,
        (*left.factors, *right.factors),
        (*left.bound, *right.bound),
    )


_ZERO_TERM = Term(Fraction(0), ())


def product(
    coefficient: Fraction, factors: Iterable[Factor], bound: tuple[Index, ...] = ()
) -> Term:
    """The canonical term of a product; a zero product has coefficient 0."""
    if not coefficient:
        return _ZERO_TERM
    if bound:
        bound = tuple(i for i in bound if i.size != ONE)
    state = _collect(coefficient, factors)
    if state is None:
        return _ZERO_TERM
    while bound:
        solved = _solve_delta(state, bound)
        if solved is None:
            break
        state, bound = solved
        if state is None:
            return _ZERO_TERM
    state = _along_deltas(state)
    if state is None:
        return _ZERO_TERM
    if bound:
        state, bound = _drop_unused(state, bound)
        if bound:
            renamed, bound = canonical_names(state[1], bound)
            state = state[0], renamed
    final_coefficient, collected = state
    ordered = list(collected.items())
    if len(ordered) > 1:
        ordered.sort(key=_by_key)
    return Term(final_coefficient, tuple(ordered), bound)


def _by_key(factor: Factor) -> str:
    return factor[0].key


_State: TypeAlias = tuple[Fraction, dict["Atom", Fraction]]


def _collect(coefficient: Fraction, factors: Iterable[Factor]) -> _State | None:
    """Collect like atoms and evaluate the decidable 0/1 factors; None when the product is 0."""
    collected: dict[Atom, Fraction] = {}

    def add(base: Atom, exponent: Fraction) -> None:
        seen = collected.get(base)
        collected[base] = exponent if seen is None else seen + exponent

    for base, exponent in factors:
        match base:
            case Access(tensor=tensor):
                if base.outside:
                    return None
                if tensor.kind == "bool":
                    collected[base] = _ONCE
                    continue
            case Iverson():
                truth = base.decided
                if truth is False:
                    return None
                if truth is None:
                    collected[base.oriented] = _ONCE
                continue
            case Compare():
                truth = base.decided
                if truth is False:
                    return None
                if truth is None:
                    if base.negated() in collected:
                        return None
                    collected[base] = _ONCE
                continue
            case Position() if base.value.as_dim is not None:
                by, more = size_factors(base.value.const)
                if not by:
                    return None
                coefficient *= by ** int(exponent)
                for inner, power in more:
                    add(inner, power * exponent)
                continue
            case Number() if (exponent + collected.get(base, 0)).denominator == 1:
                total = exponent + collected.pop(base, _NONE)
                coefficient *= base.value ** int(total)
                continue
            case Group(poly=poly) if poly.single is not None:
                inner_term = poly.single
                if exponent.denominator == 1 and not inner_term.bound:
                    coefficient *= inner_term.coefficient ** int(exponent)
                    for part, power in inner_term.factors:
                        add(part, power * exponent)
                    continue
        add(base, exponent)
    for base, exponent in list(collected.items()):
        # 1/2 * sqrt(2) is written 1/sqrt(2), so that equal numbers look equal.
        if isinstance(base, Number) and 0 < exponent < 1:
            whole = base.value
            if whole.denominator == 1 and coefficient.denominator % whole.numerator == 0:
                coefficient *= whole
                collected[base] = exponent - 1
    for base, exponent in list(collected.items()):
        if not exponent and isinstance(base, Access) and not base.inside:
            # What cancels was zero outside its tensor: x[i - 1] / x[i - 1] is [i >= 1].
            for guard in base.guards:
                truth = guard.decided
                if truth is False:
                    return None
                if truth is None:
                    collected[guard.oriented] = _ONCE
    return coefficient, {a: e for a, e in collected.items() if e}


def _solve_delta(
    state: _State, bound: tuple[Index, ...]
) -> tuple[_State | None, tuple[Index, ...]] | None:
    """Use one ``[i == e]`` to remove a bound index i; None when there is none to use."""
    coefficient, collected = state
    deltas = [a for a in collected if isinstance(a, Iverson) and a.relation == "eq"]
    # Plain ones first: a label then decides what is left, without guards of its own.
    for delta in sorted(deltas, key=lambda d: any(True for _ in d.value.labels())):
        for index in bound:
            by = delta.value.coefficient(index)
            if by.as_int not in (1, -1):
                continue
            rest = delta.value - Affine.of(index) * by
            if index in rest.indices:  # the index also selects a label
                continue
            solution = rest * (-1 if by.as_int == 1 else 1)
            others = [(a, e) for a, e in collected.items() if a != delta]
            guards = range_guards(index, solution, others)
            values = {index: solution}
            moved = [(a.substitute(values), e) for a, e in others]
            remaining = tuple(i for i in bound if i != index)
            return _collect(coefficient, [*moved, *guards]), remaining
    return None


def _along_deltas(state: _State) -> _State | None:
    """Where ``[k == y[n]]`` stands, an entry at ``y[n]`` is the entry at k: like factors meet."""
    coefficient, collected = state
    deltas = [a for a in collected if isinstance(a, Iverson) and a.relation == "eq"]
    for delta in deltas:
        if delta not in collected:
            continue  # rewritten by an earlier one: what it said then is said by others now
        index = next(
            (
                p
                for p, c in delta.value.terms
                if isinstance(p, Index)
                and c.as_int in (1, -1)
                and not any(p in label.index_set for label in delta.value.labels())
            ),
            None,
        )
        if index is None:
            continue
        if not any(True for _ in delta.value.labels()):
            again = _on_diagonal(state, delta)
            if again is None:
                return None
            state = coefficient, collected = again
            continue
        by = delta.value.coefficient(index)
        rest = delta.value - Affine.of(index) * by
        solution = rest * (-1 if by.as_int == 1 else 1)
        if solution.as_label is None:
            continue
        moved = [
            (a if a == delta else _at_index(a, solution, index), e) for a, e in collected.items()
        ]
        if any(a is not b for (a, _), b in zip(moved, collected, strict=True)):
            again = _collect(coefficient, moved)
            if again is None:
                return None
            state = coefficient, collected = again
    return coefficient, collected


def _on_diagonal(state: _State, delta: Iverson) -> _State | None:
    """Where ``[i == j]`` stands, every other factor is written with one of the two."""
    coefficient, collected = state
    pair = [p for p, _ in delta.value.terms if isinstance(p, Index)]
    if (
        len(pair) != 2
        or len(delta.value.terms) != 2
        or delta.value.const != ZERO
        or {c.as_int for _, c in delta.value.terms} != {1, -1}
        or pair[0].size != pair[1].size
    ):
        return state
    kept, gone = sorted(pair, key=lambda i: i.name)
    if not any(gone in a.indices for a in collected if a != delta):
        return state
    values = {gone: Affine.of(kept)}
    moved = [(a if a == delta else a.substitute(values), e) for a, e in collected.items()]
    return _collect(coefficient, moved)


def _at_index(base: Atom, solution: Affine, index: Index) -> Atom:
    """The atom with every entry that is exactly `solution` at `index` instead."""

    def moved(inner: Atom) -> Atom:
        return _at_index(inner, solution, index)

    match base:
        case Compare(relation=relation, left=left, right=right):
            sides = (p.with_atoms(moved) for p in (left, right))
            new: Atom = Compare(relation, *sides)
            return base if new == base else new
        case Function(name=name, args=args):
            new = Function(name, tuple(p.with_atoms(moved) for p in args))
            return base if new == base else new
    if not isinstance(base, Access) or solution not in base.index:
        return base
    for size, entry in zip(base.tensor.shape, base.index, strict=True):
        if entry == solution and size != index.size:
            return base
    here = Affine.of(index)
    return Access(base.tensor, tuple(here if e == solution else e for e in base.index))


def range_guards(index: Index, solution: Affine, factors: Iterable[Factor]) -> list[Factor]:
    """0/1 factors for ``0 <= solution < index.size``, left out where they always hold.

    They hold by themselves when the term has an access with exactly this index on an axis of
    this size, since an access outside its tensor makes the product zero.
    """
    if solution.within(index.size):
        return []
    for factor, exponent in factors:
        if isinstance(factor, Access) and exponent > 0:
            for axis, entry in zip(factor.tensor.shape, factor.index, strict=True):
                if axis == index.size and entry.as_index == index:
                    return []
    upper = Affine.of(index.size - 1) - solution
    return [(Iverson("ge", solution), Fraction(1)), (Iverson("ge", upper), Fraction(1))]


def _drop_unused(state: _State, bound: tuple[Index, ...]) -> tuple[_State, tuple[Index, ...]]:
    coefficient, collected = state
    used = frozenset[Index]().union(*(a.indices for a in collected))
    kept = tuple(i for i in bound if i in used)
    if len(kept) == len(bound):
        return state, bound
    for index in bound:
        if index not in used:
            by, factors = size_factors(index.size)
            coefficient *= by
            for base, power in factors:
                collected[base] = collected.get(base, Fraction(0)) + power
    return (coefficient, {a: e for a, e in collected.items() if e}), kept


__all__ = [
    "NOTHING",
    "UNIT",
    "Access",
    "Atom",
    "Compare",
    "Factor",
    "Function",
    "Group",
    "Iverson",
    "Number",
    "Poly",
    "Position",
    "Size",
    "Symbol",
    "Term",
    "access",
    "atom",
    "defined_at",
    "multiply",
    "number",
    "poly_of",
    "product",
    "range_guards",
    "size",
    "size_factors",
]
