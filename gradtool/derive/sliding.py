"""Where windows slide: index expressions that join two indices, read off and rewritten.

Along an axis where a window slides, ``image = stride*window + dilation*inner - pad``.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradtool.ir.dims import ONE, Dim
from gradtool.ir.index import Affine, Index, nonnegative
from gradtool.ir.poly import Access, Term
from gradtool.ops.window import Window


def plain(position: Affine, size: Dim) -> Index | None:
    """The index that runs over a whole axis of this size."""
    index = position.as_index
    return index if index is not None and index.size == size else None


def compound(access: Access) -> Iterator[tuple[int, Affine]]:
    """The axes whose index expression joins two indices."""
    for axis, position in enumerate(access.index):
        if len(position.terms) == 2 and all(isinstance(p, Index) for p, _ in position.terms):
            yield axis, position


def axis_of(access: Access, index: Index | None) -> int | None:
    """The axis over which an index runs."""
    if index is None:
        return None
    for axis, (size, position) in enumerate(zip(access.tensor.shape, access.index, strict=True)):
        if plain(position, size) == index:
            return axis
    return None


def positive(dim: Dim) -> bool:
    return nonnegative(dim - 1)


def under(image: Access, axis: int, inner: Index) -> tuple[Index, Window] | None:
    """The index that counts windows and the window, when the windows fit the axis exactly."""
    position, length = image.index[axis], image.tensor.shape[axis]
    count = next((i for i, _ in position.terms if i != inner), None)
    if not isinstance(count, Index):
        return None
    stride, dilation = position.coefficient(count), position.coefficient(inner)
    before = -position.const
    if not (positive(stride) and positive(dilation) and nonnegative(before)):
        return None
    window = Window(inner.size, stride, before, before, dilation)
    if window.count(length) == count.size:
        return count, window
    after = count.size + dilation * (inner.size - 1) - length - before
    if stride == ONE and nonnegative(after):
        return count, Window(inner.size, stride, before, after, dilation)
    return None


def turned(term: Term) -> Term:
    """``F[i - stride*h + pad] * Y[i]`` as ``F[r] * Y[stride*h + r - pad]``.

    Sound because F carries the range of r and Y that of i.
    """
    for base, _ in term.factors:
        if not isinstance(base, Access):
            continue
        for axis, position in compound(base):
            for index, coefficient in position.terms:
                if index not in term.bound or coefficient != ONE:
                    continue
                assert isinstance(index, Index)
                rest = position - Affine.of(index)
                if all(nonnegative(-c) for _, c in rest.terms) and _carried(term, base, index):
                    inner = Index(f"{index.name}~", base.tensor.shape[axis])
                    return turned(_substituted(term, index, Affine.of(inner) - rest, inner))
    return term


def flipped(term: Term) -> Term:
    """``Y[h - r + pad] * F[r]`` as ``Y[h + r - (R - 1 - pad)] * F[R - 1 - r]``."""
    for base, _ in term.factors:
        if not isinstance(base, Access):
            continue
        for _, position in compound(base):
            for index, coefficient in position.terms:
                if index not in term.bound or not positive(-coefficient):
                    continue
                assert isinstance(index, Index)
                before = -coefficient * (index.size - 1) - position.const
                if _carried(term, base, index) and nonnegative(before):
                    inner = Index(f"{index.name}~", index.size)
                    back = Affine.of(index.size - 1) - Affine.of(inner)
                    return flipped(_substituted(term, index, back, inner))
    return term


def _carried(term: Term, other: Access, index: Index) -> bool:
    """Whether another array has this index on an axis of its size."""
    return any(
        isinstance(base, Access)
        and exponent > 0
        and base != other
        and axis_of(base, index) is not None
        for base, exponent in term.factors
    )


def _substituted(term: Term, old: Index, value: Affine, new: Index) -> Term:
    factors = tuple((base.substitute({old: value}), e) for base, e in term.factors)
    bound = tuple(new if index == old else index for index in term.bound)
    return Term(term.coefficient, factors, bound)
