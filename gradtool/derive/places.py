"""Positions as arrays: ``onehot(y)``, ``eye(N)``, triangles, ``arange`` and labels as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from gradtool.derive.numerals import numeral
from gradtool.derive.pieces import Piece, Slots, aligned, label_piece
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.index import Affine, Index, Label
from gradtool.ir.poly import Iverson, Position
from gradtool.ir.tree import Call, Items, Tree, call
from gradtool.ops.affine import affine_tree, sides
from gradtool.ops.shape import dim_tree


def position_piece(value: Position, slots: Slots) -> Piece:
    """An index as a number."""
    order = in_order(value.indices, slots)
    if any(True for _ in value.value.labels()):
        return _label_number(value.value, order)
    return Piece(_affine_tree(value.value, order), tuple(order))


def in_order(indices: frozenset[Index], slots: Slots) -> list[Index]:
    known = [i for i in slots if i is not None and i in indices]
    return known + sorted((i for i in indices if i not in known), key=lambda i: i.name)


def iverson_piece(unit: Iverson, slots: Slots) -> Piece:
    """``onehot(y)``, ``eye(N)``, or a comparison of positions."""
    if unit.relation == "eq":
        special = _onehot(unit) or _eye(unit)
        if special is not None:
            return special
    triangle = _triangle(unit)
    if triangle is not None:
        return triangle
    order = in_order(unit.indices, slots)
    op = "eq" if unit.relation == "eq" else "ge"
    left, right = sides(unit.value)
    return Piece(call(op, _affine_tree(left, order), _affine_tree(right, order)), tuple(order))


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
    if index in piece.axes:
        return None  # [i == best[i]] is a comparison along one axis
    if label.tensor.labels is None or index.size != label.tensor.labels:
        return None
    return Piece(call("onehot", piece.tree), (*piece.axes, index))


def _triangle(unit: Iverson) -> Piece | None:
    """``[i - j + k >= 0]`` is a lower triangle of ones."""
    plus = [p for p, c in unit.value.terms if isinstance(p, Index) and c.as_int == 1]
    minus = [p for p, c in unit.value.terms if isinstance(p, Index) and c.as_int == -1]
    shift = unit.value.const.as_int
    if unit.relation != "ge" or len(unit.value.terms) != 2 or shift is None:
        return None
    if len(plus) != 1 or len(minus) != 1 or plus[0].size != minus[0].size:
        return None
    size = dim_tree(plus[0].size)
    kwargs: tuple[tuple[str, Tree], ...] = (("k", numeral(Fraction(shift))),) if shift else ()
    ones = call("ones", Items((size, size)))
    return Piece(Call("tril", (ones,), kwargs), (plus[0], minus[0]))


def _eye(unit: Iverson) -> Piece | None:
    indices = [p for p, _ in unit.value.terms if isinstance(p, Index)]
    if len(indices) != 2 or len(unit.value.terms) != 2 or unit.value.const.terms:
        return None
    if {c.as_int for _, c in unit.value.terms} != {1, -1} or indices[0].size != indices[1].size:
        return None
    return Piece(call("eye", dim_tree(indices[0].size)), (indices[0], indices[1]))


def _affine_tree(value: Affine, order: Sequence[Index]) -> Tree:
    """An index expression as an integer array over the axes it uses."""

    def position(place: Index | Label) -> Tree:
        if isinstance(place, Index):
            return aligned(Piece(call("arange", dim_tree(place.size)), (place,)), order).tree
        return aligned(label_piece(place), order).tree

    return affine_tree(value, position)


def _label_number(value: Affine, order: Sequence[Index]) -> Piece:
    """A label as a number: ``arange(C)[y]``."""
    label = value.as_label
    if label is None and not value.indices:
        return Piece(_scalar_number(value), ())
    if label is None or label.tensor.labels is None:
        raise UnsupportedError("arithmetic on labels as numbers")
    piece = label_piece(label)
    positions = call("arange", dim_tree(label.tensor.labels))
    return Piece(Call("getitem", (positions, Items((piece.tree,)))), piece.axes)


def _scalar_number(value: Affine) -> Tree:
    """``arange(T)[t] + 1``, from labels without axes."""
    return affine_tree(value, lambda place: _label_number(Affine.of(place), ()).tree)
