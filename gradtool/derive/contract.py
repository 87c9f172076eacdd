"""Contractions as array operations: matrix products, sums over axes, einsum."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction

from gradtool.derive.padding import divides_outside
from gradtool.derive.pieces import (
    NotRaisable,
    Piece,
    Slots,
    aligned,
    entrywise,
    exact,
    fits,
    joint_axes,
    label_piece,
    transposed,
)
from gradtool.derive.truths import as_number, is_condition
from gradtool.derive.units import Product
from gradtool.derive.windows import window_piece, windowed
from gradtool.ir.index import Affine, Index
from gradtool.ir.poly import Atom, Compare, Factor, Iverson, Term
from gradtool.ir.tree import Call, Items, Literal, Name, Number, Tree, call, children, integer
from gradtool.ops.shape import dim_tree
from gradtool.records import Struct

AtomPiece = Callable[[Atom, Slots], Piece]


class _Part(Struct, frozen=True):
    """Factors already joined into one array."""

    piece: Piece

    @property
    def indices(self) -> frozenset[Index]:
        return self.piece.indices


def contracted(term: Term, slots: Slots, atom_piece: AtomPiece) -> Piece:
    """The array of ``sum over bound of product``; free axes come out in context order."""
    window = window_piece(term, slots, atom_piece)
    if window is not None:
        return window
    added = _added_by_labels(term, slots, atom_piece)
    if added is not None:
        return added
    if divides_outside(Product(Fraction(1), term.factors)):
        raise NotRaisable
    term, atom_piece = windowed(term, atom_piece)
    context = [i for i in slots if i is not None]
    context += sorted((i for i in term.indices if i not in context), key=lambda i: i.name)
    bound = list(term.bound)
    order = [*(i for i in context if i in term.indices), *bound]
    factors = sorted(term.factors, key=_reading_order)
    parts = [_Part(_raised(base, exponent, order, atom_piece)) for base, exponent in factors]
    covered = frozenset[Index]().union(*(p.indices for p in parts))
    if any(i not in covered for i in bound):
        raise NotRaisable
    free = [i for i in context if i in term.indices]
    parts = _divided(parts, [e for _, e in factors], order)
    whole = parts
    parts = _alone(parts, bound, order)
    while True:
        parts = _absorbed(parts, order)
        live = [i for i in bound if any(i in p.indices for p in parts)]
        if not live:
            break
        step = _matmul(parts, live, free, order, slots)
        if step is None:
            step = _single(parts, live, free, order)
        if step is None:
            return _einsum(parts, free)
        parts = step
        if sum(_transposes(p.piece.tree) for p in parts) >= 3 > len(whole) - 1 and not any(
            _transposes(p.piece.tree) for p in whole
        ):
            return _einsum(whole, free)  # shorter than transposes written with axes
    result = parts[0]
    for part in parts[1:]:
        result = _multiplied(result, part, order)
    return result.piece


def _added_by_labels(term: Term, slots: Slots, atom_piece: AtomPiece) -> Piece | None:
    """``scatter_add(ids, rows, V)``: rows summed where ``[v == ids[n]]``, for every v."""
    for delta, _ in term.factors:
        if not isinstance(delta, Iverson) or delta.relation != "eq":
            continue
        labels = list(delta.value.labels())
        index = next((p for p, _ in delta.value.terms if isinstance(p, Index)), None)
        if len(labels) != 1 or index is None or len(delta.value.terms) != 2:
            continue
        label = labels[0]
        if delta.value != Affine.of(index) - label and delta.value != Affine.of(label) - index:
            continue
        rest = tuple(f for f in term.factors if f[0] != delta)
        others = frozenset[Index]().union(*(base.indices for base, _ in rest))
        if index.size != label.tensor.labels or index in term.bound or index in others:
            continue
        ids = label_piece(label)
        rows = [i for i in ids.axes if i is not None]
        if len(rows) != len(ids.axes) or not set(rows) <= others & set(term.bound):
            continue
        columns = [i for i in slots if i is not None and i in others and i not in rows]
        columns += sorted(
            (i for i in others - {*rows, *columns} if i not in term.bound), key=lambda i: i.name
        )
        inner = Term(term.coefficient, rest, tuple(i for i in term.bound if i not in rows))
        values = exact(contracted(inner, [*rows, *columns], atom_piece), [*rows, *columns])
        tree = call("scatter_add", ids.tree, _real(values, values), dim_tree(index.size))
        return Piece(tree, (index, *columns))
    return None


def _reading_order(factor: Factor) -> tuple[int, str]:
    """As people write a product: what comes from above, arrays, conditions last."""
    base, _ = factor
    if isinstance(base, Compare | Iverson):
        return 2, base.key
    return (0 if base.key.startswith("d") else 1), base.key


def _raised(base: Atom, exponent: Fraction, order: Sequence[Index], atom_piece: AtomPiece) -> Piece:
    piece = atom_piece(base, order)
    if exponent == 1:
        return piece
    if exponent == -1:
        return Piece(call("div", integer(1), piece.tree), piece.axes)
    if exponent < 0:
        inner = _raised(base, -exponent, order, atom_piece)
        return Piece(call("div", integer(1), inner.tree), inner.axes)
    if exponent == Fraction(1, 2):
        return Piece(call("sqrt", piece.tree), piece.axes)
    if exponent.denominator == 1:
        return Piece(call("pow", piece.tree, _whole(int(exponent))), piece.axes)
    numeral = call("div", _whole(exponent.numerator), integer(exponent.denominator))
    return Piece(call("pow", piece.tree, numeral), piece.axes)


def _whole(value: int) -> Tree:
    return integer(value)


def _divided(parts: list[_Part], exponents: list[Fraction], order: Sequence[Index]) -> list[_Part]:
    """Denominators go below a numerator that has their indices."""
    above = [p for p, e in zip(parts, exponents, strict=True) if e > 0]
    result = list(above)
    for part, exponent in zip(parts, exponents, strict=True):
        if exponent > 0:
            continue
        for k, other in enumerate(result):
            if part.indices <= other.indices:
                result[k] = _multiplied(other, part, order)
                break
        else:
            result.append(part)
    return result


def _alone(parts: list[_Part], bound: list[Index], order: Sequence[Index]) -> list[_Part]:
    """An index that only one factor has is summed at once, when other factors remain."""
    if len(parts) < 2:
        return parts
    result: list[_Part] = []
    for part in parts:
        own = [
            i
            for i in bound
            if i in part.indices
            and not any(i in other.indices for other in parts if other is not part)
        ]
        result.append(_summed(part, own) if own else part)
    return result


def _absorbed(parts: list[_Part], order: Sequence[Index]) -> list[_Part]:
    """Factors on the same indices are multiplied entry by entry; division stays a division."""
    result: list[_Part] = []
    for part in sorted(parts, key=lambda p: -len(p.indices)):
        for k, other in enumerate(result):
            if part.indices == other.indices:
                result[k] = _multiplied(other, part, order)
                break
        else:
            result.append(part)
    return result


def _multiplied(left: _Part, right: _Part, order: Sequence[Index]) -> _Part:
    axes = _common_order(left, right, order)
    for one, other in ((left, right), (right, left)):
        tree = other.piece.tree
        if isinstance(tree, Call) and tree.op == "div" and tree.args[0] == integer(1):
            below = Piece(tree.args[1], other.piece.axes)
            return _Part(_entrywise("div", one.piece, below, axes))
    return _Part(_entrywise("mul", left.piece, right.piece, axes))


def _entrywise(op: str, left: Piece, right: Piece, axes: Sequence[Index]) -> Piece:
    if left.axes == right.axes:
        return Piece(entrywise(op, left.tree, right.tree), left.axes)
    a, b = aligned(left, axes), aligned(right, axes)
    return Piece(
        entrywise(op, a.tree, b.tree) if a.axes == b.axes else call(op, a.tree, b.tree),
        joint_axes((a, b)),
    )


def _common_order(left: _Part, right: _Part, order: Sequence[Index]) -> list[Index]:
    """The axes as the larger factor has them, so that nothing is transposed without need."""
    for one, other in ((left, right), (right, left)):
        if other.indices <= one.indices:
            return [i for i in one.piece.axes if i is not None]
    return [i for i in order if i in left.indices | right.indices]


def _summed(part: _Part, over: list[Index]) -> _Part:
    """``x.sum(axis=…)``."""
    piece = part.piece
    places = [k for k, i in enumerate(piece.axes) if i in over]
    rest = tuple(i for i in piece.axes if i not in over)
    shown: tuple[tuple[str, Tree], ...]
    if len(places) == len(piece.axes):
        shown = ()
    elif len(places) == 1:
        shown = (("axis", integer(places[0])),)
    else:
        shown = (("axis", Items(tuple(map(integer, places)))),)
    keeping = (*shown, ("keepdims", Literal(True)))
    kept_axes = tuple(None if i in over else i for i in piece.axes)
    kept = Piece(Call("sum", (piece.tree,), keeping), kept_axes)
    return _Part(Piece(Call("sum", (piece.tree,), shown), rest, kept))


def _single(
    parts: list[_Part], live: list[Index], free: list[Index], order: Sequence[Index]
) -> list[_Part] | None:
    """All factors within the axes of one: multiply entry by entry, then sum."""
    largest = max(parts, key=lambda p: len(p.indices))
    tied = [p for p in parts if not p.indices.isdisjoint(live)]
    if not all(p.indices <= largest.indices for p in tied):
        return None
    rest = [p for p in parts if p not in tied]
    joined = tied[0]
    for part in tied[1:]:
        joined = _multiplied(joined, part, order)
    return [*rest, _summed(joined, live)]


def _matmul(
    parts: list[_Part],
    live: list[Index],
    free: list[Index],
    order: Sequence[Index],
    slots: Slots,
) -> list[_Part] | None:
    """One matrix product that removes one index; None when no pair of factors allows it."""
    best: tuple[int, list[_Part]] | None = None
    for inner in live:
        holders = [p for p in parts if inner in p.indices]
        others = [p for p in parts if inner not in p.indices]
        outside = frozenset[Index](free).union(*(p.indices for p in others))
        for left, right in _splits(holders, order):
            made = _product(left, right, inner, outside, free, _meeting(others, order))
            inside = left.indices <= right.indices or right.indices <= left.indices
            if made is not None and inside and not others and not fits(made.piece.axes, slots):
                continue  # a sum with keepdims lines up by itself
            if made is not None:
                price = 2 * len(made.indices) + _transposes(made.piece.tree)
                if best is None or price < best[0]:
                    best = price, [*others, made]
    return best[1] if best else None


def _meeting(others: list[_Part], order: Sequence[Index]) -> Sequence[Index]:
    """The order of axes, with two that wait in another matrix in the order that they have there.

    What a product is multiplied with next decides how it lies: ``(dS @ W.T) * mask``.
    """
    result = list(order)
    for part in others:
        axes = [i for i in part.piece.axes if i is not None]
        if len(axes) == 2:
            places = sorted(result.index(i) for i in axes)
            for place, index in zip(places, axes, strict=True):
                result[place] = index
    return result


def _transposes(tree: Tree) -> int:
    own = 0
    if isinstance(tree, Call) and tree.op == "transpose":
        # .T, and the last two axes of a batch swapped, are easier to read than a list of axes.
        own = 1 if len(tree.args) == 1 or _swaps_last(tree) else 3
    return own + sum(_transposes(child) for child in children(tree))


def _swaps_last(tree: Call) -> bool:
    axes = tree.args[1]
    if not isinstance(axes, Items) or len(axes.items) < 3:
        return False
    places = [int(i.value) for i in axes.items if isinstance(i, Number)]
    rank = len(places)
    return places == [*range(rank - 2), rank - 1, rank - 2]


def _splits(holders: list[_Part], order: Sequence[Index]) -> list[tuple[_Part, _Part]]:
    """Ways to join the factors that share an index into two."""
    if len(holders) < 2 or len(holders) > 5:
        return []
    result: list[tuple[_Part, _Part]] = []
    for mask in itertools.product((0, 1), repeat=len(holders) - 1):
        chosen = (0, *mask)
        groups = [[h for h, c in zip(holders, chosen, strict=True) if c == side] for side in (0, 1)]
        if not groups[1]:
            continue
        joined: list[_Part] = []
        for group in groups:
            whole = group[0]
            for part in group[1:]:
                if not (part.indices <= whole.indices or whole.indices <= part.indices):
                    break
                whole = _multiplied(whole, part, order)
            else:
                joined.append(whole)
        if len(joined) == 2:
            result.append((joined[0], joined[1]))
    return result


def _product(
    left: _Part,
    right: _Part,
    inner: Index,
    outside: frozenset[Index],
    free: list[Index],
    order: Sequence[Index],
) -> _Part | None:
    """``left @ right`` over one inner index, when the other axes are rows, columns and batch."""
    shared = (left.indices & right.indices) - {inner}
    if not shared <= outside:
        return None  # several indices are summed together
    own_left = left.indices - right.indices
    own_right = right.indices - left.indices
    if not own_left <= outside or not own_right <= outside:
        return None
    if len(own_left) > 1 and not shared and len(own_right) <= 1:
        # (…, k) @ (k, n): the leading axes of the left factor are a batch for matmul.
        return _batched(left, right, inner, own_left, own_right, order)
    if len(own_right) > 1 and not shared and len(own_left) <= 1:
        return _batched(right, left, inner, own_right, own_left, order)
    if len(own_left) > 1 or len(own_right) > 1:
        return None
    row = next(iter(own_left), None)
    column = next(iter(own_right), None)
    if row is None and column is None:
        if shared:
            return None  # entry by entry and a sum
        if left.piece.axes == right.piece.axes == (inner, None):
            tree = call("matmul", transposed(left.piece.tree, [1, 0]), right.piece.tree)
            return _Part(Piece(tree, (None, None)))
        return _Part(
            Piece(call("matmul", exact(left.piece, [inner]), exact(right.piece, [inner])), ())
        )
    if shared and (row is None or column is None):
        return None
    batch = [i for i in order if i in shared]
    if row is not None and column is not None and _later(row, column, order):
        left, right, row, column = right, left, column, row
    if row is None:
        left, right, row, column = right, left, column, row
    assert row is not None
    if column is None and right.piece.axes == (inner, None):
        # A column vector stays one.
        first = exact(left.piece, [row, inner])
        return _Part(Piece(call("matmul", first, right.piece.tree), (row, None)))
    first = _real(exact(left.piece, [*batch, row, inner]), right.piece.tree)
    second_axes = [inner] if column is None else [*batch, inner, column]
    second = exact(right.piece, second_axes)
    axes = (*batch, row) if column is None else (*batch, row, column)
    return _Part(Piece(call("matmul", first, second), axes))


def _batched(
    left: _Part,
    right: _Part,
    inner: Index,
    own_left: frozenset[Index],
    own_right: frozenset[Index],
    order: Sequence[Index],
) -> _Part | None:
    column = next(iter(own_right), None)
    lead = [i for i in order if i in own_left]
    first = exact(left.piece, [*lead, inner])
    second = exact(right.piece, [inner] if column is None else [inner, column])
    axes = (*lead,) if column is None else (*lead, column)
    # Marked: a product with two axes is otherwise one of two matrices, and transposed as such.
    return _Part(Piece(Call("matmul", (first, second), method=column is None), axes))


def _real(tree: Tree, other: Tree) -> Tree:
    """A product of two conditions would be a logical one: make the first a number."""
    return as_number(tree) if is_condition(tree) and is_condition(other) else tree


def _later(row: Index, column: Index, order: Sequence[Index]) -> bool:
    return list(order).index(row) > list(order).index(column)


def _einsum(parts: list[_Part], free: list[Index]) -> Piece:
    """What no matrix product does: einsum."""
    parts = sorted(
        parts, key=lambda p: min((free.index(i) for i in p.indices if i in free), default=9)
    )
    letters: dict[Index, str] = {}
    every = dict.fromkeys(i for part in parts for i in part.piece.axes if i is not None)
    # Indices with a name of their own choose first.
    for index in sorted(every, key=lambda i: i.size.as_symbol is None):
        letters[index] = _letter(index, set(letters.values()))
    inputs: list[str] = []
    trees: list[Tree] = []
    scale: _Part | None = None
    masks_only = all(is_condition(part.piece.tree) for part in parts)
    for part in parts:
        tree = part.piece.tree
        if is_condition(tree) and (masks_only or not isinstance(tree, Name)):
            tree = as_number(tree)
        if not part.indices:
            scale = part
            continue
        if None in part.piece.axes:
            tree = exact(part.piece, [i for i in part.piece.axes if i is not None])
        inputs.append("".join(letters[i] for i in part.piece.axes if i is not None))
        trees.append(tree)
    if len(trees) > 5:
        raise NotRaisable
    axes = [i for i in free if i in letters]
    text = ",".join(inputs) + "->" + "".join(letters[i] for i in axes)
    made = Piece(Call("einsum", (Literal(text), *trees)), tuple(axes))
    return made if scale is None else _multiplied(_Part(scale.piece), _Part(made), axes).piece


def _letter(index: Index, taken: set[str]) -> str:
    """n for N, d for D; i, j, … for a size without a name of its own."""
    symbol = index.size.as_symbol
    wishes = symbol[0].lower() if symbol else "ij"
    for letter in wishes + "abcdefghijklmnopqrstuvwxyz":
        if letter not in taken and letter.isalpha() and letter.isascii():
            return letter
    raise NotRaisable
