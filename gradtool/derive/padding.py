"""Products whose factors all reach outside their arrays by the same shift: padded once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from gradtool.derive.pieces import Piece, Slots, slice_range
from gradtool.derive.units import Choice, Contraction, Product, Sum, Unit
from gradtool.ir.dims import ZERO, Dim
from gradtool.ir.index import Affine, Index
from gradtool.ir.poly import Access, Function, Iverson, Poly, Term, poly_of
from gradtool.ir.tree import Call, Items, Slice, Tree
from gradtool.ir.walk import accesses, atoms
from gradtool.ops.shape import dim_tree

_ONE = Fraction(1)
SINGULAR_AT_ZERO = ("log", "pow", "log2", "log10")


def shifted(factors: Product, slots: Slots) -> tuple[Product, Index, Index, Dim] | None:
    """The product in the arrays' own index, when every entry is shifted by the same size.

    Returns the product, the index that it had, the one that it has now, and the shift.
    """
    for index in slots:
        if index is None or index not in factors.indices:
            continue
        entries = [
            (size, entry)
            for unit, _ in factors.factors
            for access in _accesses(unit)
            for size, entry in zip(access.tensor.shape, access.index, strict=True)
            if index in entry.indices
        ]
        if len(entries) < 2 or any(index in _other(unit) for unit, _ in factors.factors):
            continue
        size, first = entries[0]
        start = first - Affine.of(index)
        if start.terms or any(e != first or s != size for s, e in entries):
            continue
        if first.within(size):
            continue
        if not any(e > 0 and _vanishes(unit, index) for unit, e in factors.factors):
            continue  # a summand that does not move with the index is no zero outside
        local = Index(f"{index.name}~", size)
        values = {index: Affine.of(local) - start.const}
        moved = tuple((_substituted(unit, values), e) for unit, e in factors.factors)
        return Product(factors.coefficient, moved), index, local, start.const
    return None


def _vanishes(unit: Unit, index: Index) -> bool:
    """Whether a factor is zero where its entries along an index are outside their arrays."""
    match unit:
        case Access():
            return index in unit.indices
        case Contraction(term=term):
            return any(
                exponent > 0 and isinstance(base, Access) and index in base.indices
                for base, exponent in term.factors
            )
        case Sum(products=products):
            return all(
                any(exponent > 0 and _vanishes(inner, index) for inner, exponent in part.factors)
                for part in products
            )
    return False


def padded(piece: Piece, index: Index, local: Index, start: Dim) -> Piece:
    """The piece along `index`: entry i is entry ``i + start`` of it, zero outside."""
    part, (before, after) = slice_range(start, index.size, local.size)
    place = piece.axes.index(local)
    tree = piece.tree
    whole = Slice(None, None, None)
    if part != whole:
        entries: list[Tree] = [whole] * place + [part]
        tree = Call("getitem", (tree, Items(tuple(entries))))
    if (before, after) != (ZERO, ZERO):
        pairs = [(before, after) if k == place else (ZERO, ZERO) for k in range(len(piece.axes))]
        shown = Items(tuple(Items((dim_tree(a), dim_tree(b))) for a, b in pairs))
        tree = Call("pad", (tree, shown))
    return Piece(tree, tuple(index if a == local else a for a in piece.axes))


def divides_outside(factors: Product) -> bool:
    """Whether a factor that is singular at zero is read outside its array."""
    for unit, exponent in factors.factors:
        delicate = exponent < 0 or exponent.denominator != 1
        if isinstance(unit, Function) and unit.name in SINGULAR_AT_ZERO:
            delicate = True
        if delicate and any(
            not entry.within(size)
            for access in _accesses(unit)
            for size, entry in zip(access.tensor.shape, access.index, strict=True)
        ):
            return True
    return False


def _polys(unit: Unit) -> Iterator[Poly]:
    match unit:
        case Contraction(term=term):
            yield Poly((term,))
        case Sum(products=products):
            for part in products:
                for inner, _ in part.factors:
                    yield from _polys(inner)
        case Choice(condition=condition, yes=yes, no=no):
            yield from _polys(condition)
            yield from _polys(yes)
            yield from _polys(no)
        case _:
            yield Poly((Term(_ONE, ((unit, _ONE),)),))


def _accesses(unit: Unit) -> Iterator[Access]:
    for body in _polys(unit):
        yield from accesses(body)


def _other(unit: Unit) -> frozenset[Index]:
    """Indices that occur as positions, not as entries of arrays."""
    found: set[Index] = set()
    for body in _polys(unit):
        for base in atoms(body):
            if isinstance(base, Iverson):
                found |= base.indices
            elif isinstance(base, Access):
                for entry in base.index:
                    for label in entry.labels():
                        found |= label.index_set
    return frozenset(found)


def _substituted(unit: Unit, values: Mapping[Index, Affine]) -> Unit:
    match unit:
        case Contraction(term=term, mean=mean):
            (moved,) = poly_of((term,)).substitute(values).terms
            return Contraction(moved, mean=mean)
        case Sum(products=products):
            return Sum(tuple(_moved(p, values) for p in products))
        case Choice(condition=condition, yes=yes, no=no):
            return Choice(
                condition.substitute(values),
                Sum(tuple(_moved(p, values) for p in yes.products)),
                Sum(tuple(_moved(p, values) for p in no.products)),
            )
        case _:
            return unit.substitute(values)


def _moved(factors: Product, values: Mapping[Index, Affine]) -> Product:
    return Product(
        factors.coefficient, tuple((_substituted(u, values), e) for u, e in factors.factors)
    )
