"""From index notation back to array operations: the trees that are printed.

A chain of shared indices is a matrix product, every transpose decided by the order of axes that
is asked for; an index on one factor only is a sum over an axis; shared free indices are
elementwise; the rest is an einsum.  What has no array operation is written in index notation.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction

from gradtool.derive.chains import collected
from gradtool.derive.contract import contracted
from gradtool.derive.factor import nested
from gradtool.derive.indexform import indexed_tree
from gradtool.derive.numerals import numeral, scalar_fraction
from gradtool.derive.padding import divides_outside, padded, shifted
from gradtool.derive.pieces import (
    NotRaisable,
    Piece,
    Slots,
    access_piece,
    aligned,
    entrywise,
    exact,
    joint_axes,
    transposed,
)
from gradtool.derive.places import in_order, iverson_piece, position_piece
from gradtool.derive.truths import as_number, is_condition
from gradtool.derive.units import Choice, Contraction, Product, Sum, Unit
from gradtool.derive.width import width_of
from gradtool.ir.index import Index
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
    number,
)
from gradtool.ir.tree import Call, Items, Name, Tree, call, children, integer
from gradtool.ir.tree import Number as Numeral
from gradtool.ir.walk import accesses, inside
from gradtool.ops.shape import dim_tree


def raised(
    body: Poly, free: Sequence[Index], taken: Collection[str] = (), *, arrays: bool = False
) -> Tree:
    """The array expression of a statement: one axis for each free index, in this order.

    Args:
        taken: names that no index may have, should it be written in index notation.
        arrays: an array expression wherever there is one, however hard to read.
    """
    slots = [None if i.size.as_int == 1 else i for i in free]
    try:
        if not body.terms:
            return _zeros(free)
        tree = exact(sum_piece(nested(body), slots), slots)
    except NotRaisable:
        return indexed_tree(body, free, taken)
    if not arrays and _positions(tree) > 1:
        # Comparisons of positions are easier to read in index notation.
        indexed = indexed_tree(body, free, taken)
        if width_of(indexed) < width_of(tree):
            return indexed
    if free and _counts(tree):
        # Positions are integers, a gradient is a real array.
        inner = tree.args[0] if isinstance(tree, Call) and tree.op == "broadcast_to" else tree
        sizes = tuple(dim_tree(i.size) for i in free)
        shape = sizes[0] if len(sizes) == 1 else Items(sizes)
        return call("mul", call("ones", shape), inner)
    return _real(tree)


def _counts(tree: Tree) -> bool:
    """Whether a tree is made of positions only: ``arange(N)``."""
    if isinstance(tree, Call) and tree.op == "arange":
        return True
    if isinstance(tree, Call) and tree.op in ("broadcast_to", "getitem", "transpose"):
        return _counts(tree.args[0])
    if isinstance(tree, Call) and tree.op in ("add", "sub", "mul"):
        return any(_counts(a) for a in tree.args) and all(
            _counts(a) or isinstance(a, Numeral | Name) for a in tree.args
        )
    return False


def _positions(tree: Tree) -> int:
    """How many positions (arange) are compared."""
    own = isinstance(tree, Call) and tree.op in ("ge", "eq")
    return own * _aranges(tree) + sum(_positions(child) for child in children(tree))


def _aranges(tree: Tree) -> int:
    own = isinstance(tree, Call) and tree.op == "arange"
    return own + sum(_aranges(child) for child in children(tree))


def _real(tree: Tree) -> Tree:
    """A gradient is a number, not a truth value."""
    return as_number(tree) if is_condition(tree) else tree


def _zeros(free: Sequence[Index]) -> Tree:
    if not free:
        return integer(0)
    if len(free) == 1:
        return call("zeros", dim_tree(free[0].size))
    return call("zeros", Items(tuple(dim_tree(i.size) for i in free)))


def sum_piece(total: Sum, slots: Slots) -> Piece:
    """A sum of products."""
    if not total.products:  # it cancels
        return Piece(integer(0), ())
    if len(total.products) == 1:
        return product_piece(total.products[0], slots)
    wide = _widened(slots, total.indices)
    pieces: list[Piece] = []
    negatives: list[bool] = []
    for part in total.products:
        negative = part.coefficient < 0 and bool(pieces)
        shown = Product(-part.coefficient, part.factors) if negative else part
        pieces.append(product_piece(shown, wide))
        negatives.append(negative)
    if len({p.axes for p in pieces if p.axes}) > 1:
        pieces = [aligned(p, wide) for p in pieces]
    axes = joint_axes(pieces)
    terms = [(p.tree, minus) for p, minus in zip(pieces, negatives, strict=True)]
    if len({p.axes for p in pieces}) == 1:
        terms = collected(terms, len(axes))
    (result, _), *rest = terms
    for tree, negative in rest:
        if is_condition(result) and is_condition(tree):
            result = _real(result)
        result = call("sub" if negative else "add", result, tree)
    return Piece(result, axes)


def _widened(slots: Slots, indices: frozenset[Index]) -> list[Index | None]:
    """The slots, and whatever they lack of some indices."""
    return [*slots, *sorted((i for i in indices if i not in slots), key=lambda i: i.name)]


def product_piece(factors: Product, slots: Slots) -> Piece:
    """A product: numerators, one division, and a sum in brackets last."""
    own = _widened(slots, factors.indices)
    moved = shifted(factors, own)
    if moved is not None:
        # Pad the product once, not every factor: a denominator must not be padded.
        inner, index, local, start = moved
        within = [local if i == index else i for i in own]
        return padded(product_piece(inner, within), index, local, start)
    if divides_outside(factors):
        raise NotRaisable
    scalars, rest = _scalars(factors)
    above: list[Piece] = []
    below: list[Piece] = []
    sums: list[Piece] = []
    conditions: list[Piece] = []
    vectors = _vectors(rest)
    for unit, exponent in rest:
        piece = unit_piece(unit, [*unit.indices] if vectors else own)
        if isinstance(unit, Compare) and _delicate(factors):
            conditions.append(piece)
        elif exponent < 0:
            below.append(_power(piece, -exponent))
        elif isinstance(unit, Sum) and exponent == 1 and not vectors:
            sums.append(piece)
        else:
            above.append(_power(piece, exponent))
    everything = [*above, *below, *sums]
    if sum(bool(p.axes) for p in everything) == 1:
        # Scalars stay outside a transpose: y * inv(A).T
        above, below, sums = (
            [aligned(p, own) if p.axes else p for p in group] for group in (above, below, sums)
        )
    if sums and sum(bool(p.axes) for p in above) == 1:
        above = [aligned(p, own) if p.axes else p for p in above]
    sign, top, bottom = scalar_fraction(factors.coefficient, scalars)
    numerator = [Piece(t, ()) for t in top] + [p for p in above if not p.axes]
    numerator += _outer([p for p in above if p.axes], own)
    denominator = [Piece(t, ()) for t in bottom] + below
    arrays = any(p.axes for p in above)
    if sums and not any(p.axes for p in denominator):
        # A number below stands last: (P - onehot(y)) / N, m * (P - onehot(y)) / N.
        result = _over(_times([*numerator, *sums], own), denominator, own)
    elif arrays or not sums:
        result = _over(_times(numerator, own), denominator, own)
        for piece in sums:
            result = _joined("mul", result, piece, own)
    else:
        result = _over(_times([*numerator, *sums], own), denominator, own)
    if result is None:
        result = Piece(integer(1), ())
    if sign:
        result = _negative(result)
    for piece in conditions:
        result = _where(piece, result, Piece(integer(0), ()), own)
    return result


def _vectors(rest: Sequence[tuple[Unit, Fraction]]) -> bool:
    """Whether a product is the outer product of two vectors, each computed by itself."""
    if len(rest) != 2 or any(exponent != 1 for _, exponent in rest):
        return False
    (first, _), (second, _) = rest
    return (
        len(first.indices) == len(second.indices) == 1
        and first.indices != second.indices
        and any(isinstance(unit, Contraction | Sum) for unit in (first, second))
    )


def _scalars(factors: Product) -> tuple[list[tuple[Atom, Fraction]], list[tuple[Unit, Fraction]]]:
    """Sizes, constants and numbers apart from arrays."""
    scalars: list[tuple[Atom, Fraction]] = []
    rest: list[tuple[Unit, Fraction]] = []
    for unit, exponent in factors.factors:
        if isinstance(unit, Symbol | Size | Number):
            scalars.append((unit, exponent))
        else:
            rest.append((unit, exponent))
    return scalars, rest


def _outer(pieces: list[Piece], slots: Slots) -> list[Piece]:
    """Two vectors along different axes make an outer product."""
    if len(pieces) != 2:
        return pieces
    order = [i for i in slots if i is not None]
    if any(len(p.indices) != 1 for p in pieces) or pieces[0].indices == pieces[1].indices:
        return pieces
    first, second = sorted(pieces, key=lambda p: order.index(next(iter(p.indices))))
    (i,), (j,) = first.indices, second.indices
    if is_condition(first.tree) or is_condition(second.tree):
        return pieces
    if first.axes == (i, None) and second.axes == (j, None):
        return [Piece(call("matmul", first.tree, transposed(second.tree, [1, 0])), (i, j))]
    if first.axes == (i,) and second.axes == (j,):
        return [Piece(call("outer", first.tree, second.tree), (i, j))]
    return pieces


def _negative(piece: Piece) -> Piece:
    """A minus as deep on the left as possible: ``-a / b`` rather than ``-(a / b)``."""
    return Piece(_negated(piece.tree), piece.axes)


def _negated(tree: Tree) -> Tree:
    if isinstance(tree, Call) and tree.op == "div" and is_condition(tree.args[0]):
        return call("neg", tree)
    if isinstance(tree, Call) and tree.op in ("mul", "div"):
        return Call(tree.op, (_negated(tree.args[0]), *tree.args[1:]))
    if isinstance(tree, Numeral):
        return Numeral(-tree.value, "-" + (tree.text or str(tree.value)))
    if isinstance(tree, Call) and tree.op == "sub":
        return Call("sub", (tree.args[1], tree.args[0]))
    if is_condition(tree):
        return call("mul", Numeral(Fraction(-1), "-1"), tree)
    return call("neg", tree)


def _delicate(factors: Product) -> bool:
    """Whether a factor can be infinite or undefined where a condition is false."""
    for unit, exponent in factors.factors:
        if isinstance(unit, Symbol | Size | Number):
            continue
        if exponent < 0 or exponent.denominator != 1:
            return True
        if isinstance(unit, Function) and unit.name in ("log", "pow", "log1p", "log2", "log10"):
            return True
        if isinstance(unit, Sum) and any(_delicate(p) for p in unit.products):
            return True
    return False


def _times(pieces: list[Piece], slots: Slots) -> Piece | None:
    result: Piece | None = None
    for piece in pieces:
        result = piece if result is None else _joined("mul", result, piece, slots)
    return result


def _joined(op: str, left: Piece | None, right: Piece, slots: Slots) -> Piece:
    if left is None:
        return right
    if not left.axes or not right.axes or left.axes == right.axes:
        same = left.axes == right.axes
        tree = (entrywise if same else call)(op, left.tree, right.tree)
        return Piece(tree, left.axes or right.axes)
    a, b = aligned(left, slots), aligned(right, slots)
    return Piece(call(op, a.tree, b.tree), joint_axes((a, b)))


def _over(first: Piece | None, denominator: list[Piece], slots: Slots) -> Piece | None:
    if not denominator:
        return first
    below = _times(denominator, slots)
    assert below is not None
    return _joined("div", first or Piece(integer(1), ()), below, slots)


def _power(piece: Piece, exponent: Fraction) -> Piece:
    if exponent == 1:
        return piece
    if exponent == Fraction(1, 2):
        return Piece(call("sqrt", piece.tree), piece.axes)
    return Piece(call("pow", piece.tree, numeral(exponent)), piece.axes)


def _where(condition: Piece, yes: Piece, no: Piece, slots: Slots) -> Piece:
    pieces = [condition, yes, no]
    if len({p.axes for p in pieces if p.axes}) > 1:
        pieces = [aligned(p, slots) for p in pieces]
    return Piece(call("where", *(p.tree for p in pieces)), joint_axes(pieces))


# -- units --------------------------------------------------------------------------------


def unit_piece(unit: Unit, slots: Slots) -> Piece:
    """One factor as an array expression."""
    match unit:
        case Sum():
            return sum_piece(unit, slots)
        case Choice(condition=condition, yes=yes, no=no):
            return _where(
                atom_piece(condition, slots), sum_piece(yes, slots), sum_piece(no, slots), slots
            )
        case Contraction(term=term, mean=mean):
            piece = contracted(term, slots, atom_piece)
            return _mean(piece, term) if mean else piece
        case _:
            return atom_piece(unit, slots)


def _mean(piece: Piece, term: Term) -> Piece:
    """A sum divided by what it was summed over."""
    tree = piece.tree
    if isinstance(tree, Call) and tree.op == "sum" and _takes_all(tree, len(term.bound)):
        kept = None if piece.kept is None else _mean(piece.kept, term)
        return Piece(Call("mean", tree.args, tree.kwargs), piece.axes, kept)
    for index in term.bound:
        tree = call("div", tree, dim_tree(index.size))
    return Piece(tree, piece.axes)


def _takes_all(tree: Call, count: int) -> bool:
    """Whether the outermost sum goes over all `count` indices: an inner one may have taken some."""
    axis = dict(tree.kwargs).get("axis")
    if axis is not None:
        return (len(axis.items) if isinstance(axis, Items) else 1) == count
    return not _reduces(tree.args[0])


def _reduces(tree: Tree) -> bool:
    reduces = isinstance(tree, Call) and tree.op in ("sum", "mean", "matmul", "einsum", "norm")
    return reduces or any(_reduces(child) for child in children(tree))


def atom_piece(unit: Atom, slots: Slots) -> Piece:
    match unit:
        case Access():
            return access_piece(unit)
        case Symbol(name=name):
            return Piece(Name(name), ())
        case Size(dim=dim):
            return Piece(dim_tree(dim), ())
        case Number(value=value):
            return Piece(numeral(value), ())
        case Group(poly=poly):
            return sum_piece(nested(poly), _natural(unit, slots))
        case Function(name=name, args=args):
            own = _natural(unit, slots)
            pieces = [aligned(_poly_piece(arg, own), own) for arg in args]
            return Piece(Call(name, tuple(p.tree for p in pieces)), joint_axes(pieces))
        case Compare():
            return _compare_piece(unit, slots)
        case Iverson():
            return iverson_piece(unit, slots)
        case Position():
            return position_piece(unit, slots)
    raise NotRaisable


def _poly_piece(body: Poly, slots: Slots) -> Piece:
    return sum_piece(nested(body), slots) if body.terms else Piece(integer(0), ())


_WORDS = {">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}
_FLIPPED = {">": "lt", ">=": "le", "==": "eq", "!=": "ne"}


def _compare_piece(unit: Compare, slots: Slots) -> Piece:
    """``Z > 0``: what has no array in it stands on the right."""
    own = _natural(unit, slots)
    unit = simplest(unit)
    left, right = (aligned(_poly_piece(p, own), own) for p in (unit.left, unit.right))
    axes = joint_axes((left, right))
    if not any(True for _ in accesses(unit.left)):
        return Piece(Call(_FLIPPED[unit.relation], (right.tree, left.tree)), axes)
    return Piece(Call(_WORDS[unit.relation], (left.tree, right.tree)), axes)


def simplest(unit: Compare) -> Compare:
    """``3 + Z > 6`` as ``Z > 3``: a bound on one value."""
    numbers = sum((t.coefficient for t in unit.left.terms if not t.factors), Fraction(0))
    left = unit.left - number(numbers)
    bound = unit.right.constant
    if left.single is None or bound is None or not numbers or left.single.coefficient <= 0:
        return unit
    scale = 1 / left.single.coefficient
    return Compare(unit.relation, left.scaled(scale), number((bound - numbers) * scale))


def _natural(unit: Atom, slots: Slots) -> list[Index | None]:
    """The order of axes that the largest array inside already has."""
    best: list[Index | None] = []
    for part in inside(unit):
        for entry in accesses(part):
            # One entry of a longer axis leaves no axis of size one: a[:, 0].
            axes = [
                e
                for e, size in zip(entry.index, entry.tensor.shape, strict=True)
                if e.as_dim is None or size.as_int == 1
            ]
            found = [e.as_index for e in axes]
            plain = [i for i in found if i is not None]
            if (
                len(found) > len(best)
                and len(set(plain)) == len(plain)
                and all(
                    i is not None or e.as_dim is not None for i, e in zip(found, axes, strict=True)
                )
            ):
                best = [*found]
    if frozenset(i for i in best if i is not None) == unit.indices:
        return best
    return [*in_order(unit.indices, slots)]
