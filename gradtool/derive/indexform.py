"""Index notation as a tree: for what array operations cannot say, and for subscript output."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from gradtool.ir.dims import Dim
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.index import Affine, Index, Label
from gradtool.ir.poly import (
    Access,
    Atom,
    Compare,
    Function,
    Group,
    Iverson,
    Number,
    Poly,
    Position,
    Size,
    Symbol,
    Term,
)
from gradtool.ir.tree import Call, Items, Name, Tree, call, integer
from gradtool.ir.tree import Number as Numeral
from gradtool.ir.walk import accesses, atoms, entries, labels
from gradtool.ops.affine import affine_tree as written
from gradtool.ops.affine import sides
from gradtool.ops.shape import dim_tree


def index_names(free: Sequence[Index], body: Poly, taken: Iterable[str] = ()) -> dict[Index, str]:
    """A short name for every index: n for N, d for D, then i, j, k …

    None is the name of anything in the expression, or one of `taken`.
    """
    used = set(taken) | symbols_of(body, free)
    names: dict[Index, str] = {}
    every = [*free]
    for term in body.terms:
        every += [i for i in term.bound if i not in every]
    for index in every:
        symbol = index.size.as_symbol
        wish = symbol[0].lower() if symbol else "i"
        for letter in (wish, *"ijklmnpqrstuvwabcdefgh"):
            if letter not in used:
                names[index] = letter
                used.add(letter)
                break
        else:
            count = next(k for k in itertools.count() if f"i{k}" not in used)
            names[index] = f"i{count}"
            used.add(names[index])
    return names


def symbols_of(body: Poly, free: Sequence[Index]) -> set[str]:
    """Every name that stands in an expression or in a range: values, constants and sizes."""
    found: set[str] = set()
    sizes = [index.size for index in (*free, *(i for term in body.terms for i in term.bound))]
    for base in atoms(body):
        match base:
            case Symbol(name=name):
                found.add(name)
            case Size(dim=dim):
                sizes.append(dim)
            case Access(tensor=tensor):
                found.add(tensor.name)
                sizes += tensor.shape
        sizes += [part for entry in entries(base) for part in _dims_of(entry)]
        for index in base.indices:
            sizes.append(index.size)
    for label in labels(body):
        found.add(label.tensor.name)
        sizes += [*label.tensor.shape, *(part for entry in label.index for part in _dims_of(entry))]
    return found.union(*(size.symbols for size in sizes))


def _dims_of(entry: Affine) -> Iterator[Dim]:
    yield entry.const
    for _, coefficient in entry.terms:
        yield coefficient


def indexed_tree(body: Poly, free: Sequence[Index], taken: Iterable[str] = ()) -> Tree:
    """``[n, d] -> sum(…, over=[…])``: a Call of "indexed" that the spec language reads back.

    Ranges are stated where they do not follow from a plain access.

    Args:
        taken: names that no index may have.
    """
    names: dict[Index, str] = index_names(free, body, taken)
    every = [*free, *(i for term in body.terms for i in term.bound)]
    stated = frozenset(i for i in every if not _follows(i, body, names, every))
    left = tuple(declared(i, names, stated) for i in free)
    return Call("indexed", (Items(left), scalar_tree(body, names, stated=stated)))


def declared(index: Index, names: dict[Index, str], stated: frozenset[Index]) -> Tree:
    name = Name(names[index])
    return call("lt", name, dim_tree(index.size)) if index in stated else name


def _follows(index: Index, body: Poly, names: dict[Index, str], every: Sequence[Index]) -> bool:
    """Whether every plain access with this index's name says its range."""
    sizes: set[Dim] = set()
    same = [i for i in every if names[i] == names[index]]
    for entry in accesses(body):
        pairs = list(zip(entry.tensor.shape, entry.index, strict=True))
        for label in (label for e in entry.index for label in e.labels()):
            pairs += zip(label.tensor.shape, label.index, strict=True)
        sizes |= {axis for axis, e in pairs if e.as_index in same}
    for label in labels(body):
        sizes |= {
            axis
            for axis, e in zip(label.tensor.shape, label.index, strict=True)
            if e.as_index in same
        }
    return sizes == {index.size}


def _reaches_outside(term: Term) -> bool:
    return any(
        not entry.within(size)
        for a in accesses(Poly((term,)))
        for size, entry in zip(a.tensor.shape, a.index, strict=True)
    )


def scalar_tree(
    body: Poly, names: dict[Index, str], *, stated: frozenset[Index] | None = None
) -> Tree:
    """A scalar expression in index notation."""
    result: Tree | None = None
    ordered = sorted(body.terms, key=lambda t: (t.coefficient < 0, len(t.bound)))
    for term in ordered:
        negative = term.coefficient < 0
        tree = _term(term, names, stated)
        if result is None:
            result = call("neg", tree) if negative else tree
        else:
            result = call("sub" if negative else "add", result, tree)
    return result if result is not None else integer(0)


def _term(term: Term, names: dict[Index, str], stated: frozenset[Index] | None) -> Tree:
    outside = stated is not None and _reaches_outside(term)
    above: list[Tree] = []
    below: list[Tree] = []
    size = abs(term.coefficient)
    if size.numerator != 1:
        above.append(integer(size.numerator))
    if size.denominator != 1:
        below.append(integer(size.denominator))
    outer_above: list[Tree] = []
    outer_below: list[Tree] = []
    for base, exponent in term.factors:
        tree = _atom(base, names)
        if abs(exponent) != 1:
            tree = call("pow", tree, _numeral(abs(exponent)))
        free = base.indices.isdisjoint(term.bound)
        if free:
            (outer_above if exponent > 0 else outer_below).append(tree)
        else:
            (above if exponent > 0 else below).append(tree)
    if term.bound:
        inner = _fraction(above, below)
        # Every sum says what does not follow from its own accesses: it may be read alone.
        alone = Poly((term,))
        own = (stated or frozenset()) | {
            i
            for i in term.bound
            if stated is not None and not _follows(i, alone, names, term.bound)
        }
        over = Items(tuple(declared(i, names, own) for i in term.bound))
        keywords: tuple[tuple[str, Tree], ...] = (("over", over),)
        if outside:
            keywords += (("outside", integer(0)),)
        whole: Tree = Call("sum", (inner,), keywords)
        return _fraction([*outer_above, whole], outer_below)
    tree = _fraction([*above, *outer_above], [*below, *outer_below])
    if outside:
        return Call("sum", (tree,), (("over", Items(())), ("outside", integer(0))))
    return tree


def _fraction(above: list[Tree], below: list[Tree]) -> Tree:
    top = _joined(above) or integer(1)
    bottom = _joined(below)
    return top if bottom is None else call("div", top, bottom)


def _joined(trees: list[Tree]) -> Tree | None:
    result: Tree | None = None
    for tree in trees:
        result = tree if result is None else call("mul", result, tree)
    return result


def _numeral(value: Fraction) -> Tree:
    if value.denominator == 1:
        return integer(value.numerator)
    return call("div", integer(value.numerator), integer(value.denominator))


def _atom(base: Atom, names: dict[Index, str]) -> Tree:
    match base:
        case Access(tensor=tensor, index=index):
            if not index:
                return Name(tensor.name)
            entries = Items(tuple(affine_tree(e, names) for e in index))
            return Call("getitem", (Name(tensor.name), entries))
        case Symbol(name=name):
            return Name(name)
        case Size(dim=dim):
            return dim_tree(dim)
        case Number(value=value):
            return Numeral(value, str(value))
        case Iverson(relation=relation, value=value):
            op = "eq" if relation == "eq" else "ge"
            left, right = sides(value)
            return call(op, affine_tree(left, names), affine_tree(right, names))
        case Position(value=value):
            if any(True for _ in value.labels()):
                raise UnsupportedError("labels used as numbers in index notation")
            return affine_tree(value, names)
        case Compare(relation=relation, left=left, right=right):
            word = {">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}[relation]
            return call(word, scalar_tree(left, names), scalar_tree(right, names))
        case Function(name=name, args=args):
            return Call(name, tuple(scalar_tree(a, names) for a in args))
        case Group(poly=poly):
            return scalar_tree(poly, names)


def affine_tree(value: Affine, names: dict[Index, str]) -> Tree:
    """``stride*i + p - pad``."""

    def position(place: Index | Label) -> Tree:
        return Name(names[place]) if isinstance(place, Index) else _label(place, names)

    return written(value, position)


def _label(label: Label, names: dict[Index, str]) -> Tree:
    if not label.index:
        return Name(label.tensor.name)
    entries = Items(tuple(affine_tree(e, names) for e in label.index))
    return Call("getitem", (Name(label.tensor.name), entries))
