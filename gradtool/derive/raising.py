"""From index notation back to array operations: the trees that are printed.

A chain of shared indices is a matrix product, every transpose decided by the order of axes that
is asked for; an index on one factor only is a sum over an axis; shared free indices are
elementwise; the rest is an einsum.  What has no array operation is written in index notation.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from gradtool.derive.contract import contracted
from gradtool.derive.factor import Contraction, Product, Sum, Unit, nested
from gradtool.derive.indexform import indexed_tree
from gradtool.derive.pieces import NotRaisable, Piece, access_piece, aligned, exact, label_piece
from gradtool.ir.index import Affine, Index
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
)
from gradtool.ir.tree import Call, Literal, Name, Tree, call, integer
from gradtool.ir.tree import Number as Numeral
from gradtool.ir.walk import accesses, inside
from gradtool.ops.shape import dim_tree


def raised(body: Poly, free: Sequence[Index]) -> Tree:
    """The array expression of a statement: one axis for each free index, in this order."""
    live = [i for i in free if i.size.as_int != 1]
    try:
        if not body.terms:
            return _zeros(free)
        tree = exact(sum_piece(nested(body), live), live)
    except NotRaisable:
        return indexed_tree(body, free)
    return _with_units(tree, free, live)


def _zeros(free: Sequence[Index]) -> Tree:
    from gradtool.ir.tree import Items

    if not free:
        return integer(0)
    if len(free) == 1:
        return call("zeros", dim_tree(free[0].size))
    return call("zeros", Items(tuple(dim_tree(i.size) for i in free)))


def _with_units(tree: Tree, free: Sequence[Index], live: Sequence[Index]) -> Tree:
    """Put back the axes of size one that the result must have."""
    if len(free) == len(live):
        return tree
    from gradtool.ir.tree import Items, Slice

    kept = _keepdims(tree, free, live)
    if kept is not None:
        return kept
    entries: list[Tree] = [
        Literal(None) if i.size.as_int == 1 else Slice(None, None, None) for i in free
    ]
    if not live:
        return call("reshape", tree, Items(tuple(integer(1) for _ in free)))
    return Call("getitem", (tree, Items(tuple(entries))))


def _keepdims(tree: Tree, free: Sequence[Index], live: Sequence[Index]) -> Tree | None:
    """``x.sum(axis=1)[:, None]`` is ``x.sum(axis=1, keepdims=True)``."""
    if not isinstance(tree, Call) or tree.op not in ("sum", "mean") or tree.keyword("keepdims"):
        return None
    axis = tree.keyword("axis")
    if isinstance(axis, Numeral):
        places = [int(axis.value)]
    elif axis is None and not live:
        places = list(range(len(free)))
    else:
        return None
    units = [k for k, i in enumerate(free) if i.size.as_int == 1]
    if places != units:
        return None
    return Call(tree.op, tree.args, (*tree.kwargs, ("keepdims", Literal(True))))


def sum_piece(total: Sum, context: Sequence[Index]) -> Piece:
    """A sum of products; `context` gives the order of axes."""
    axes = [i for i in context if i in total.indices]
    if len(total.products) == 1:
        return product_piece(total.products[0], context)
    result: Tree | None = None
    for part in total.products:
        negative = part.coefficient < 0 and result is not None
        shown = Product(-part.coefficient, part.factors) if negative else part
        tree = aligned(product_piece(shown, context), axes)
        if result is None:
            result = tree
        else:
            result = call("sub" if negative else "add", result, tree)
    assert result is not None
    return Piece(result, tuple(axes))


def product_piece(factors: Product, context: Sequence[Index]) -> Piece:
    """A product: numerators, one division, and a sum in brackets last."""
    axes = [i for i in context if i in factors.indices]
    numbers: list[Tree] = []
    above: list[Piece] = []
    below: list[Piece] = []
    sums: list[Piece] = []
    choices: list[Piece] = []
    coefficient = factors.coefficient
    for unit, exponent in factors.factors:
        piece = unit_piece(unit, context)
        if isinstance(unit, Compare) and _delicate(factors):
            choices.append(piece)
            continue
        target = sums if isinstance(unit, Sum) and exponent == 1 else above
        if exponent < 0:
            below.append(_power(piece, -exponent))
        else:
            target.append(_power(piece, exponent))
    sign = coefficient < 0
    size = abs(coefficient)
    if size.numerator != 1:
        numbers.append(_numeral(Fraction(size.numerator)))
    scalars = [p for p in above if not p.axes]
    arrays = [p for p in above if p.axes]
    numerator = [Piece(n, ()) for n in numbers] + scalars + arrays
    denominator = list(below)
    if size.denominator != 1:
        denominator.insert(0, Piece(_numeral(Fraction(size.denominator)), ()))
    if arrays or not sums:
        first = _times(numerator, axes)
        if sums:
            result = _over(first, denominator, axes)
            for piece in sums:
                result = _joined("mul", result, piece, axes)
        else:
            result = _over(first, denominator, axes)
    else:
        first = _times([*numerator, *sums], axes)
        result = _over(first, denominator, axes)
    if result is None:
        result = Piece(integer(1), ())
    if sign:
        result = Piece(_negative(result.tree), result.axes, None)
    for piece in choices:
        ordered = [i for i in axes if i in result.indices | piece.indices]
        result = Piece(
            call("where", aligned(piece, ordered), aligned(result, ordered), integer(0)),
            tuple(ordered),
        )
    return result


def _negative(tree: Tree) -> Tree:
    """A minus as deep on the left as possible: ``-a / b`` rather than ``-(a / b)``."""
    if isinstance(tree, Call) and tree.op in ("mul", "div"):
        return Call(tree.op, (_negative(tree.args[0]), *tree.args[1:]))
    if isinstance(tree, Numeral):
        return Numeral(-tree.value, "-" + (tree.text or str(tree.value)))
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


def _numeral(value: Fraction) -> Tree:
    if value.denominator == 1:
        return Numeral(value, str(value.numerator))
    decimal = _decimal(value)
    if decimal is not None:
        return Numeral(value, decimal)
    return call("div", integer(value.numerator), integer(value.denominator))


def _decimal(value: Fraction) -> str | None:
    """An exact short decimal, or None."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1 or value.denominator > 10**12:
        return None
    text = f"{float(value):.15g}"
    return text if Fraction(text) == value else None


def _times(pieces: list[Piece], axes: Sequence[Index]) -> Piece | None:
    result: Piece | None = None
    for piece in pieces:
        result = piece if result is None else _joined("mul", result, piece, axes)
    return result


def _joined(op: str, left: Piece | None, right: Piece, axes: Sequence[Index]) -> Piece:
    if left is None:
        return right
    if not left.axes or not right.axes or left.axes == right.axes:
        return Piece(call(op, left.tree, right.tree), left.axes or right.axes)
    ordered = [i for i in axes if i in left.indices | right.indices]
    return Piece(call(op, aligned(left, ordered), aligned(right, ordered)), tuple(ordered))


def _over(first: Piece | None, denominator: list[Piece], axes: Sequence[Index]) -> Piece | None:
    if not denominator:
        return first
    below = _times(denominator, axes)
    assert below is not None
    return _joined("div", first or Piece(integer(1), ()), below, axes)


def _power(piece: Piece, exponent: Fraction) -> Piece:
    if exponent == 1:
        return piece
    if exponent == Fraction(1, 2):
        return Piece(call("sqrt", piece.tree), piece.axes)
    return Piece(call("pow", piece.tree, _numeral(exponent)), piece.axes)


# -- units --------------------------------------------------------------------------------


def unit_piece(unit: Unit, context: Sequence[Index]) -> Piece:
    """One factor as an array expression."""
    match unit:
        case Sum():
            return sum_piece(unit, context)
        case Contraction():
            return contracted(unit.term, context, atom_piece)
        case _:
            return atom_piece(unit, context)


def atom_piece(unit: Unit, context: Sequence[Index]) -> Piece:
    match unit:
        case Access():
            return access_piece(unit)
        case Symbol(name=name):
            return Piece(Name(name), ())
        case Size(dim=dim):
            return Piece(dim_tree(dim), ())
        case Number(value=value):
            return Piece(_numeral(value), ())
        case Group(poly=poly):
            return sum_piece(nested(poly), _natural(unit, context))
        case Function(name=name, args=args):
            axes = _natural(unit, context)
            pieces = [poly_piece(arg, axes) for arg in args]
            trees = tuple(aligned(p, axes) if len(pieces) > 1 else p.tree for p in pieces)
            return Piece(Call(name, trees), pieces[0].axes if len(pieces) == 1 else tuple(axes))
        case Compare(relation=relation, left=left, right=right):
            axes = _natural(unit, context)
            trees = tuple(aligned(poly_piece(p, axes), axes) for p in (left, right))
            if not left.terms:
                flipped = {">": "lt", ">=": "le", "==": "eq", "!=": "ne"}[relation]
                return Piece(Call(flipped, (trees[1], trees[0])), tuple(axes))
            word = {">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}[relation]
            return Piece(Call(word, trees), tuple(axes))
        case Iverson():
            return _iverson_piece(unit, context)
        case Position(value=value):
            axes = _order(unit.indices, context)
            return Piece(_affine_tree(value, axes), tuple(axes))
    raise NotRaisable


def poly_piece(body: Poly, context: Sequence[Index]) -> Piece:
    if not body.terms:
        return Piece(integer(0), ())
    return sum_piece(nested(body), _order(body.indices, context))


def _natural(unit: Atom, context: Sequence[Index]) -> list[Index]:
    """The order of axes that the largest array inside already has."""
    best: list[Index] = []
    for part in inside(unit):
        for entry in accesses(part):
            found = [e.as_index for e in entry.index]
            plain = [i for i in found if i is not None]
            if len(plain) > len(best) and len(set(plain)) == len(plain):
                best = plain
    if frozenset(best) == unit.indices:
        return best
    return _order(unit.indices, context)


def _order(indices: frozenset[Index], context: Sequence[Index]) -> list[Index]:
    known = [i for i in context if i in indices]
    return known + sorted((i for i in indices if i not in context), key=lambda i: i.name)


def _iverson_piece(unit: Iverson, context: Sequence[Index]) -> Piece:
    """``onehot(y)``, ``eye(N)``, or a comparison of positions."""
    if unit.relation == "eq":
        special = _onehot(unit) or _eye(unit)
        if special is not None:
            return special
    axes = _order(unit.indices, context)
    plus = Affine(tuple((p, c) for p, c in unit.value.terms if not _minus(c)),
                  unit.value.const if not _minus(unit.value.const) else Affine.of(0).const)
    minus = plus - unit.value
    op = "eq" if unit.relation == "eq" else "ge"
    return Piece(call(op, _affine_tree(plus, axes), _affine_tree(minus, axes)), tuple(axes))


def _minus(dim: object) -> bool:
    from gradtool.ir.dims import Dim

    assert isinstance(dim, Dim)
    return bool(dim.terms) and all(c < 0 for _, c in dim.terms)


def _onehot(unit: Iverson) -> Piece | None:
    if len(unit.value.terms) != 2 or unit.value.const.terms:
        return None
    labels = list(unit.value.labels())
    indices = [p for p, _ in unit.value.terms if isinstance(p, Index)]
    if len(labels) != 1 or len(indices) != 1:
        return None
    if {c.as_int for _, c in unit.value.terms} != {1, -1}:
        return None
    label, index = labels[0], indices[0]
    piece = label_piece(label)
    if label.tensor.labels is None or index.size != label.tensor.labels:
        return None
    return Piece(call("onehot", piece.tree), (*piece.axes, index))


def _eye(unit: Iverson) -> Piece | None:
    indices = [p for p, _ in unit.value.terms if isinstance(p, Index)]
    if len(indices) != 2 or len(unit.value.terms) != 2 or unit.value.const.terms:
        return None
    if {c.as_int for _, c in unit.value.terms} != {1, -1} or indices[0].size != indices[1].size:
        return None
    return Piece(call("eye", dim_tree(indices[0].size)), (indices[0], indices[1]))


def _affine_tree(value: Affine, axes: Sequence[Index]) -> Tree:
    """An index expression as an integer array over the axes it uses."""
    result: Tree | None = None
    for position, coefficient in value.terms:
        if isinstance(position, Index):
            piece = Piece(call("arange", dim_tree(position.size)), (position,))
        else:
            piece = label_piece(position)
        tree = aligned(piece, axes)
        by = coefficient.as_int
        if by != 1:
            tree = call("mul", dim_tree(coefficient), tree)
        result = tree if result is None else call("add", result, tree)
    if value.const.terms or result is None:
        constant = dim_tree(value.const)
        result = constant if result is None else call("add", result, constant)
    return result
