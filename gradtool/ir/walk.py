"""Walks over scalar expressions: what occurs in them, and replacing it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from fractions import Fraction

from gradtool.ir.index import Affine, Label, Tensor
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
    atom,
    poly_of,
    product,
)


def atoms(body: Poly) -> Iterator[Atom]:
    """Every atom, those inside functions, comparisons and groups included."""
    for term in body.terms:
        for base, _ in term.factors:
            yield base
            for inner in inside(base):
                yield from atoms(inner)


def inside(base: Atom) -> tuple[Poly, ...]:
    """The scalar expressions that an atom is made of."""
    match base:
        case Function(args=args):
            return args
        case Compare(left=left, right=right):
            return (left, right)
        case Group(poly=poly):
            return (poly,)
        case _:
            return ()


def accesses(body: Poly) -> Iterator[Access]:
    return (base for base in atoms(body) if isinstance(base, Access))


def entries(base: Atom) -> tuple[Affine, ...]:
    """The positions that an atom is at, or compares."""
    match base:
        case Access(index=index):
            return index
        case Iverson(value=value) | Position(value=value):
            return (value,)
        case _:
            return ()


def labels(body: Poly) -> Iterator[Label]:
    """Every label in an index, nested ones included."""
    for base in atoms(body):
        for entry in entries(base):
            yield from _labels(entry)


def _labels(entry: Affine) -> Iterator[Label]:
    for label in entry.labels():
        yield label
        for inner in label.index:
            yield from _labels(inner)


def replace_atoms(
    body: Poly, change: Callable[[Atom], Poly | None], among: Collection[str] | None = None
) -> Poly:
    """Replace atoms by expressions, outermost first; None keeps an atom and looks inside it.

    `among`: names of tensors, when only their entries change.
    """
    if among is not None and body.mentions.isdisjoint(among):
        return body
    result: list[Term] = []
    for original in body.terms:
        if among is not None and original.mentions.isdisjoint(among):
            result.append(original)
            continue
        # A replacement is written in the term's own indices: they must not look like its sums.
        term = original.freshened()
        changes: list[tuple[Poly, Fraction]] = []
        kept: list[Factor] = []
        for base, exponent in term.factors:
            new = change(base)
            if new is None:
                new = _inner(base, change, among)
            if new is None:
                kept.append((base, exponent))
            else:
                changes.append((new, exponent))
        if not changes:
            result.append(original)
            continue
        partial = [Term(term.coefficient, tuple(kept), term.bound)]
        for new, exponent in changes:
            factor = new.power(exponent)
            partial = [_times(left, right) for left in partial for right in factor.terms]
        result += [product(t.coefficient, t.factors, t.bound) for t in partial]
    return poly_of(result)


def with_tensor(body: Poly, old: str, new: Tensor) -> Poly:
    """The expression with one tensor in the place of another, among the labels of indices too."""

    def at(entry: Affine) -> Affine:
        if not any(label.tensor.name == old for label in _labels(entry)):
            return entry
        result = Affine.of(entry.const)
        for position, coefficient in entry.terms:
            if isinstance(position, Label):
                tensor = new if position.tensor.name == old else position.tensor
                position = Label(tensor, tuple(at(e) for e in position.index))
            result = result + Affine.of(position) * coefficient
        return result

    def change(base: Atom) -> Poly | None:
        match base:
            case Access(tensor=tensor, index=index):
                own = new if tensor.name == old else tensor
                moved = Access(own, tuple(at(e) for e in index))
                return None if moved == base else atom(moved)
            case Iverson(relation=relation, value=value):
                return None if at(value) is value else atom(Iverson(relation, at(value)))
            case Position(value=value):
                return None if at(value) is value else atom(Position(at(value)))
        return None

    return replace_atoms(body, change)


def _times(left: Term, right: Term) -> Term:
    """Multiply where `right` is written in the bound indices of `left` on purpose."""
    apart = right.freshened()
    return Term(
        left.coefficient * apart.coefficient,
        (*left.factors, *apart.factors),
        (*left.bound, *apart.bound),
    )


def _inner(
    base: Atom, change: Callable[[Atom], Poly | None], among: Collection[str] | None
) -> Poly | None:
    parts = inside(base)
    if not parts:
        return None
    new = tuple(replace_atoms(part, change, among) for part in parts)
    if all(a is b or a == b for a, b in zip(new, parts, strict=True)):
        return None
    match base:
        case Function(name=name):
            return atom(Function(name, new))
        case Compare(relation=relation):
            return atom(Compare(relation, *new))
        case _:
            return atom(Group(new[0]))
