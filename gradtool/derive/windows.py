"""Sums over windows: as one word where people know one, else over an array of all windows."""

from __future__ import annotations

from collections.abc import Callable

from gradtool.derive.columns import columns_piece
from gradtool.derive.convolution import convolution_piece
from gradtool.derive.pieces import Piece, Slots
from gradtool.derive.pooling import pooling_piece
from gradtool.derive.sliding import compound, flipped, plain, turned, under
from gradtool.ir.dims import ONE
from gradtool.ir.index import Affine, Index, Tensor
from gradtool.ir.poly import Access, Atom, Factor, Term
from gradtool.ir.tree import Call, Items, Name
from gradtool.ops.shape import dim_tree
from gradtool.ops.window import Window, shown

AtomPiece = Callable[[Atom, Slots], Piece]


def window_piece(term: Term, slots: Slots, atom_piece: AtomPiece) -> Piece | None:
    """A sum over windows as one word, or None when there is no word for it."""
    return convolution_piece(term) or pooling_piece(term, slots) or columns_piece(term, slots)


def windowed(term: Term, atom_piece: AtomPiece) -> tuple[Term, AtomPiece]:
    """The term with the array under windows as an array of its own, with plain indices.

    ``X[n, i + r] * dY[n, i]`` becomes ``XW[n, i, r] * dY[n, i]``, where XW is ``windows(X, R)``.
    The term stays as it is when nothing, or more than one array, is under windows.
    """
    for form in (term, turned(term), flipped(term)):
        images = [
            base
            for base, exponent in form.factors
            if isinstance(base, Access) and exponent == 1 and any(compound(base))
        ]
        made = _as_windows(images[0]) if len(images) == 1 else None
        if made is None:
            continue
        whole, piece = made
        factors: list[Factor] = [
            (whole if base == images[0] else base, exponent) for base, exponent in form.factors
        ]

        def known(base: Atom, slots: Slots, whole: Access = whole, piece: Piece = piece) -> Piece:
            return piece if base == whole else atom_piece(base, slots)

        return Term(form.coefficient, tuple(factors), form.bound), known
    return term, atom_piece


def _inner_first(position: Affine) -> list[Index]:
    """The two indices, first the one that is more likely to run within a window.

    It has the size 3 or R rather than H - R + 1, and no stride.
    """

    def unlikely(index: Index) -> tuple[bool, int, bool, int]:
        size = index.size
        strided = position.coefficient(index) != ONE
        return size.as_int is None, len(size.terms), strided, len(str(size))

    return sorted((i for i, _ in position.terms if isinstance(i, Index)), key=unlikely)


def _as_windows(image: Access) -> tuple[Access, Piece] | None:
    """The array of all windows of an array, and the access to it."""
    found: dict[int, tuple[Index, Index, Window]] = {}
    for axis, position in compound(image):
        for inner in _inner_first(position):
            seen = under(image, axis, inner)
            if seen is not None:
                found[axis] = (seen[0], inner, seen[1])
                break
        else:
            return None
    first = min(found)
    axes: list[Index | None] = []
    inside: list[Index | None] = []
    windows: list[Window] = []
    for axis, (size, position) in enumerate(zip(image.tensor.shape, image.index, strict=True)):
        if axis in found:
            count, inner, window = found[axis]
            axes.append(count)
            inside.append(inner)
            windows.append(window)
            continue
        index = plain(position, size)
        if index is None and size != ONE:
            return None
        axes.append(index)
        if axis > first:
            inside.append(None)
            windows.append(Window(ONE))
    sizes = [dim_tree(window.size) for window in windows]
    shape = sizes[0] if len(sizes) == 1 else Items(tuple(sizes))
    tree = Call("windows", (Name(image.tensor.name), shape), shown(windows))
    every = (*axes, *inside)
    tensor = Tensor(
        f"windows:{image.tensor.name}", tuple(ONE if i is None else i.size for i in every)
    )
    entries = tuple(Affine.of(0) if i is None else Affine.of(i) for i in every)
    return Access(tensor, entries), Piece(tree, every)
