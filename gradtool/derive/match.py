"""Finding a definition inside a product: unification of index expressions.

A pattern is the body of a forward statement, written in its free and bound indices; those are
the variables.  Matching a pattern with a term tells which entry of the statement's tensor the
term contains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from gradtool.ir.index import Affine, Index, Label
from gradtool.ir.poly import (
    Access,
    Atom,
    Compare,
    Factor,
    Function,
    Group,
    Iverson,
    Poly,
    Position,
    Term,
)

Binding = Mapping[Index, Affine]


def matches(
    pattern: tuple[Factor, ...], variables: frozenset[Index], factors: tuple[Factor, ...]
) -> Iterator[tuple[dict[Index, Affine], tuple[Factor, ...]]]:
    """Every way to find the pattern's factors among `factors`: bindings and what is left over."""
    yield from _match(pattern, variables, factors, {})


def _match(
    pattern: tuple[Factor, ...],
    variables: frozenset[Index],
    factors: tuple[Factor, ...],
    bound: dict[Index, Affine],
) -> Iterator[tuple[dict[Index, Affine], tuple[Factor, ...]]]:
    if not pattern:
        yield bound, factors
        return
    (wanted, exponent), *rest = pattern
    for place, (found, power) in enumerate(factors):
        if not _covers(power, exponent):
            continue
        extended = unify(wanted, found, variables, bound)
        if extended is None:
            continue
        remaining = list(factors)
        if power == exponent:
            del remaining[place]
        else:
            remaining[place] = (found, power - exponent)
        yield from _match(tuple(rest), variables, tuple(remaining), extended)


def _covers(power: Fraction, wanted: Fraction) -> bool:
    """Whether ``x**power`` contains ``x**wanted`` as a factor of the same sign."""
    return power / wanted >= 1


def unify(
    pattern: Atom, found: Atom, variables: frozenset[Index], bound: dict[Index, Affine]
) -> dict[Index, Affine] | None:
    """Extend the bindings so that the pattern becomes `found`, or None."""
    match pattern, found:
        case Access(tensor=a, index=left), Access(tensor=b, index=right) if a.name == b.name:
            return _unify_entries(left, right, variables, bound)
        case Function(name=a, args=left), Function(name=b, args=right) if a == b and len(
            left
        ) == len(right):
            state: dict[Index, Affine] | None = bound
            for one, other in zip(left, right, strict=True):
                if state is None:
                    return None
                state = unify_poly(one, other, variables, state)
            return state
        case Group(poly=left), Group(poly=right):
            return unify_poly(left, right, variables, bound)
        case Compare(relation=a, left=l1, right=r1), Compare(relation=b, left=l2, right=r2):
            if a != b:
                return None
            state = unify_poly(l1, l2, variables, bound)
            return None if state is None else unify_poly(r1, r2, variables, state)
        case Iverson(relation=a, value=left), Iverson(relation=b, value=right):
            return unify_affine(left, right, variables, bound) if a == b else None
        case Position(value=left), Position(value=right):
            return unify_affine(left, right, variables, bound)
    return bound if pattern == found else None


def unify_poly(
    pattern: Poly, found: Poly, variables: frozenset[Index], bound: dict[Index, Affine]
) -> dict[Index, Affine] | None:
    """Sums match term by term, in some order."""
    if len(pattern.terms) != len(found.terms):
        return None
    return _unify_terms(list(pattern.terms), list(found.terms), variables, bound)


def _unify_terms(
    pattern: list[Term],
    found: list[Term],
    variables: frozenset[Index],
    bound: dict[Index, Affine],
) -> dict[Index, Affine] | None:
    if not pattern:
        return bound
    first, *rest = pattern
    for place, other in enumerate(found):
        if first.coefficient != other.coefficient or first.bound or other.bound:
            continue
        for state, left in _match(first.factors, variables, other.factors, bound):
            if left:
                continue
            result = _unify_terms(rest, found[:place] + found[place + 1 :], variables, state)
            if result is not None:
                return result
    return None


def _unify_entries(
    left: tuple[Affine, ...],
    right: tuple[Affine, ...],
    variables: frozenset[Index],
    bound: dict[Index, Affine],
) -> dict[Index, Affine] | None:
    state: dict[Index, Affine] | None = bound
    for a, b in zip(left, right, strict=True):
        if state is None:
            return None
        state = unify_affine(a, b, variables, state)
    return state


def unify_affine(
    pattern: Affine, found: Affine, variables: frozenset[Index], bound: dict[Index, Affine]
) -> dict[Index, Affine] | None:
    index = pattern.as_index
    if index is not None and index in variables:
        known = bound.get(index)
        if known is None:
            return {**bound, index: found}
        return bound if known == found else None
    label = pattern.as_label
    other = found.as_label
    if label is not None and other is not None and label.tensor.name == other.tensor.name:
        return _unify_entries(label.index, other.index, variables, bound)
    unknown = [v for v in pattern.indices if v in variables and v not in bound]
    if unknown:
        return _unify_shifted(pattern, found, variables, bound, unknown)
    return bound if pattern.substitute(bound) == found else None


def _unify_shifted(
    pattern: Affine,
    found: Affine,
    variables: frozenset[Index],
    bound: dict[Index, Affine],
    unknown: list[Index],
) -> dict[Index, Affine] | None:
    """Solve ``2*i + 1 = 2*j + 1``: one unknown, and what it is multiplied with divides the rest."""
    if len(unknown) != 1 or any(isinstance(p, Label) for p, _ in pattern.terms):
        return None
    (index,) = unknown
    by = pattern.coefficient(index)
    rest = (pattern - Affine.of(index) * by).substitute(bound)
    solution = (found - rest).divided_by(by)
    return None if solution is None else {**bound, index: solution}
