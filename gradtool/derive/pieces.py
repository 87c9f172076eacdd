"""Array expressions with named axes, and lining them up for broadcasting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from gradtool.ir.dims import ONE, Dim
from gradtool.ir.index import Affine, Index, Label, nonnegative
from gradtool.ir.poly import Access
from gradtool.ir.tree import Call, Items, Literal, Name, Number, Slice, Tree, call, integer
from gradtool.ops.shape import dim_tree
from gradtool.records import Struct


class NotRaisable(Exception):
    """There is no array operation for this; it is written in index notation."""


Slots: TypeAlias = "Sequence[Index | None]"


class Piece(Struct, frozen=True):
    """An array expression whose axes are named.

    Attributes:
        tree: the expression.
        axes: the index of each axis; None for an axis of size one.
        kept: for a sum, the same with keepdims=True.

    Raises:
        NotRaisable: two axes have one index.  Such an array holds more than is meant, a convolution
            for its diagonal, and would broadcast wrongly.
    """

    tree: Tree
    axes: tuple[Index | None, ...]
    kept: Piece | None = None

    def __post_init__(self) -> None:
        if len(self.axes) > 1 and len(self.indices) + self.axes.count(None) < len(self.axes):
            raise NotRaisable

    @property
    def indices(self) -> frozenset[Index]:
        return frozenset(i for i in self.axes if i is not None)


def aligned(piece: Piece, slots: Slots) -> Piece:
    """The expression so that it broadcasts against an array with the axes `slots`.

    A slot None is an axis of size one, which the result has and others may stretch.
    """
    if fits(piece.axes, slots):
        return piece
    if piece.kept is not None and fits(piece.kept.axes, slots):
        return piece.kept
    bare = squeezed(piece)
    moved = _permuted(bare, [i for i in slots if i is not None and i in bare.indices])
    if fits(moved.axes, slots):
        return moved
    entries: list[Tree] = []
    axes: list[Index | None] = []
    for slot in slots:
        if slot is not None and slot in moved.indices:
            entries.append(Slice(None, None, None))
            axes.append(slot)
        elif axes:
            entries.append(Literal(None))
            axes.append(None)
    while entries and entries[-1] == Slice(None, None, None):
        entries.pop()
    return Piece(Call("getitem", (moved.tree, Items(tuple(entries)))), tuple(axes))


def exact(piece: Piece, slots: Slots) -> Tree:
    """The expression with exactly these axes, in this order."""
    for form in (piece, piece.kept):
        if form is not None and form.axes == tuple(slots):
            return form.tree
    missing = [i for i in slots if i is not None and i not in piece.indices]
    if missing:
        shape = Items(tuple(integer(1) if i is None else dim_tree(i.size) for i in slots))
        return Call("broadcast_to", (aligned(piece, slots).tree, shape))
    lined_up = aligned(piece, slots)
    if lined_up.axes == tuple(slots):
        return lined_up.tree
    if not lined_up.axes:
        return call("reshape", lined_up.tree, Items(tuple(integer(1) for _ in slots)))
    lacking = len(slots) - len(lined_up.axes)
    entries: list[Tree] = [Literal(None)] * lacking
    entries += [Slice(None, None, None)] * len(lined_up.axes)
    return Call("getitem", (lined_up.tree, Items(tuple(entries))))


def fits(axes: Sequence[Index | None], slots: Slots) -> bool:
    """Whether NumPy's alignment from the right already does it."""
    if len(axes) > len(slots):
        return False
    tail = slots[len(slots) - len(axes) :]
    return all(a is None or a == c for a, c in zip(axes, tail, strict=True))


def joint_axes(pieces: Sequence[Piece]) -> tuple[Index | None, ...]:
    """The axes of aligned pieces combined entry by entry."""
    rank = max(len(p.axes) for p in pieces)
    result: list[Index | None] = []
    for place in range(rank, 0, -1):
        found = [p.axes[-place] for p in pieces if len(p.axes) >= place]
        result.append(next((a for a in found if a is not None), None))
    return tuple(result)


def squeezed(piece: Piece) -> Piece:
    """Without axes of size one."""
    if None not in piece.axes:
        return piece
    dropped = tuple(k for k, a in enumerate(piece.axes) if a is None)
    kept = tuple(a for a in piece.axes if a is not None)
    tree = piece.tree
    if isinstance(tree, Call) and tree.keyword("keepdims") is not None:
        axis = tree.keyword("axis")
        summed = axis.items if isinstance(axis, Items) else (axis,)
        if axis is None or len(summed) == len(dropped):
            plain = tuple((k, v) for k, v in tree.kwargs if k != "keepdims")
            return Piece(Call(tree.op, tree.args, plain), kept)
    entries: list[Tree] = [
        integer(0) if k in dropped else Slice(None, None, None) for k in range(len(piece.axes))
    ]
    while entries and isinstance(entries[-1], Slice):
        entries.pop()
    return Piece(Call("getitem", (tree, Items(tuple(entries)))), kept)


def _permuted(piece: Piece, order: list[Index]) -> Piece:
    if list(piece.axes) == order:
        return piece
    places = [piece.axes.index(i) for i in order]
    return Piece(transposed(piece.tree, places), tuple(order))


def transposed(tree: Tree, places: list[int]) -> Tree:
    """A transpose; twice the same one is none."""
    if places == list(range(len(places))):
        return tree
    if places == list(reversed(range(len(places)))):
        if isinstance(tree, Call) and tree.op == "transpose" and len(tree.args) == 1:
            return tree.args[0]
        if len(places) == 2 and isinstance(tree, Call) and tree.op == "matmul" and not tree.method:
            # (A @ B).T is B.T @ A.T: the product of two matrices, since it has two axes, unless
            # it is marked as the product of a stack of matrices and a vector.
            left, right = tree.args
            return call("matmul", transposed(right, places), transposed(left, places))
        return call("transpose", tree)
    return call("transpose", tree, Items(tuple(map(integer, places))))


def entrywise(op: str, left: Tree, right: Tree) -> Tree:
    """Two arrays with the same axes, entry by entry; a triangle of ones is one of the other."""
    if op == "mul":
        for mask, other in ((left, right), (right, left)):
            if isinstance(mask, Call) and mask.op in ("tril", "triu") and _is_ones(mask.args[0]):
                return Call(mask.op, (other,), mask.kwargs)
    return call(op, left, right)


def _is_ones(tree: Tree) -> bool:
    return isinstance(tree, Call) and tree.op == "ones"


# -- entries of tensors -------------------------------------------------------------------


def access_piece(entry: Access) -> Piece:
    """An access as an array: slices, flips, padding, gathering by labels.

    Raises:
        NotRaisable: two indices share an axis (a window) or the range is not provable.
    """
    tree: Tree = Name(entry.tensor.name, truth=entry.tensor.kind == "bool")
    if any(True for e in entry.index for _ in e.labels()):
        return _gathered(tree, entry)
    axes: list[Index | None] = []
    trees: list[Tree] = []
    padding: list[tuple[Dim, Dim]] = []
    flips: list[int] = []
    for axis, (size, position) in enumerate(zip(entry.tensor.shape, entry.index, strict=True)):
        index, part, pad, flip = _entry(position, size)
        axes.append(index)
        trees.append(part)
        padding.append(pad)
        if flip:
            flips.append(axis)
    whole = all(isinstance(t, Slice) and t == Slice(None, None, None) for t in trees)
    if flips:
        shown: Tree = integer(flips[0]) if len(flips) == 1 else Items(tuple(map(integer, flips)))
        tree = Call("flip", (tree,), (("axis", shown),))
    unit = [k for k, t in enumerate(trees) if axes[k] is None]
    if not whole:
        written = list(trees)
        while written and written[-1] == Slice(None, None, None):
            written.pop()
        if written:
            tree = Call("getitem", (tree, Items(tuple(written))))
    kept_axes = [
        a
        for k, a in enumerate(axes)
        if not (k in unit and isinstance(trees[k], Number | Name | Call))
    ]
    kept_padding = [
        p
        for k, p in enumerate(padding)
        if not (k in unit and isinstance(trees[k], Number | Name | Call))
    ]
    if any(p != (Dim.of(0), Dim.of(0)) for p in kept_padding):
        pairs = Items(tuple(Items((dim_tree(a), dim_tree(b))) for a, b in kept_padding))
        tree = Call("pad", (tree, pairs))
    indices = [a for a in kept_axes if a is not None]
    if len(set(indices)) != len(indices):
        return _diagonal(tree, kept_axes)
    return Piece(tree, tuple(kept_axes))


_Entry = tuple[Index | None, Tree, tuple[Dim, Dim], bool]
_WHOLE = Slice(None, None, None)
_NONE = (Dim.of(0), Dim.of(0))


def _entry(position: Affine, size: Dim) -> _Entry:
    """One axis: its index, what stands in brackets, zeros to add, and whether it is flipped."""
    constant = position.as_dim
    if constant is not None:
        if size == ONE:
            return None, _WHOLE, _NONE, False
        return None, dim_tree(constant), _NONE, False
    if len(position.terms) != 1:
        raise NotRaisable
    index, step = position.terms[0]
    if not isinstance(index, Index):
        raise NotRaisable
    start = position.const
    if step.as_int == -1:
        # X[c - i] is flip(X)[size - 1 - c + i]
        _, part, pad, _ = _entry(Affine.of(index) + (size - 1 - start), size)
        return index, part, pad, True
    if step == ONE:
        return (index, *slice_range(start, index.size, size), False)
    stride = step.as_int
    if stride is not None and stride > 1 and position.within(size):
        stop = start + (index.size - 1) * stride + 1
        end = None if nonnegative(stop + stride - 1 - size) else dim_tree(stop)
        begin = None if start == Dim.of(0) else dim_tree(start)
        return index, Slice(begin, end, integer(stride)), _NONE, False
    raise NotRaisable


def slice_range(start: Dim, count: Dim, size: Dim) -> tuple[Tree, tuple[Dim, Dim]]:
    """``X[start : start + count]`` where entries outside are zero."""
    if nonnegative(-(start + count)) or nonnegative(start - size):
        raise NotRaisable  # all of it is outside, and the language has no empty arrays
    after = start + count - size  # how far the range reaches beyond the end
    begin: Tree | None = None
    before = Dim.of(0)
    if start != Dim.of(0):
        if nonnegative(start):
            begin = dim_tree(start)
        elif nonnegative(-start):
            before = -start
        else:
            raise NotRaisable
    if after == Dim.of(0):
        return Slice(begin, None, None), (before, Dim.of(0))
    if nonnegative(after):
        if begin is not None and not nonnegative(size - start):
            raise NotRaisable  # an array that is shorter than where the slice begins
        return Slice(begin, None, None), (before, after)
    if nonnegative(-after):
        if not nonnegative(start + count):
            raise NotRaisable  # an end below zero counts from behind
        return Slice(begin, dim_tree(start + count), None), (before, Dim.of(0))
    raise NotRaisable


def _diagonal(tree: Tree, axes: list[Index | None]) -> Piece:
    """``X[i, i]``: the diagonal."""
    indices = [a for a in axes if a is not None]
    if len(axes) == 2 and len(indices) == 2:
        return Piece(call("diag", tree), (indices[0],))
    letters = {index: "abcdefghij"[k] for k, index in enumerate(dict.fromkeys(indices))}
    if None in axes:
        raise NotRaisable
    left = "".join(letters[i] for i in indices)
    right = "".join(letters.values())
    return Piece(call("einsum", Literal(f"{left}->{right}"), tree), tuple(letters))


def label_piece(label: Label) -> Piece:
    """A label as an integer array."""
    axes: list[Index | None] = []
    for size, entry in zip(label.tensor.shape, label.index, strict=True):
        if entry.as_dim is not None and size == ONE:
            axes.append(None)
            continue
        index = entry.as_index
        if index is None or index.size != size or index in axes:
            raise NotRaisable
        axes.append(index)
    return Piece(Name(label.tensor.name), tuple(axes))


def _gathered(tree: Tree, entry: Access) -> Piece:
    """``S[arange(N), y]``: entries chosen by labels."""
    shared: list[Index] = []
    for position in entry.index:
        for label in position.labels():
            shared += [i for i in sorted(label.index_set, key=lambda i: i.name) if i not in shared]
    # Axes of the gathered block: the order in which they first occur in the access.
    ordered: list[Index] = []
    for position in entry.index:
        found = position.as_index
        candidates = (
            [found]
            if found is not None
            else [a for label in position.labels() for a in label_piece(label).axes]
        )
        ordered += [i for i in candidates if i is not None and i in shared and i not in ordered]
    written: list[Tree] = []
    places: list[int] = []
    axes: list[Index | None] = []
    for number, (size, position) in enumerate(zip(entry.tensor.shape, entry.index, strict=True)):
        chosen = position.as_label
        index = position.as_index
        if chosen is not None:
            if not position.within(size):
                raise NotRaisable  # some labels choose none of the entries
            written.append(aligned(label_piece(chosen), ordered).tree)
            places.append(number)
        elif index is not None and index in shared:
            if index.size != size:
                raise NotRaisable
            arange = Piece(call("arange", dim_tree(size)), (index,))
            written.append(aligned(arange, ordered).tree)
            places.append(number)
        elif position.as_dim is not None and size == ONE:
            written.append(_WHOLE)
            axes.append(None)
        elif index is not None and index.size == size:
            written.append(_WHOLE)
            axes.append(index)
        else:
            raise NotRaisable
    together = places == list(range(places[0], places[-1] + 1))
    at = len([k for k in range(places[0])]) if together else 0
    result = axes[:at] + list(ordered) + axes[at:]
    while written and written[-1] == _WHOLE:
        written.pop()
    return Piece(Call("getitem", (tree, Items(tuple(written)))), tuple(result))
