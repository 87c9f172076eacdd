"""Where the points of a grid read an array: positions that depend on the sizes only.

A grid has one axis for each of its indices.  An index expression without labels is an array of
integers over the grid, and an access is a way to read its array; both are the same at every
evaluation with the same sizes, so a `Setting` remembers them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from gradtool.ir.dims import Dim
from gradtool.ir.index import Affine, Index
from gradtool.records import Struct

Array = Any  # an ndarray of floats, or of objects in high precision

# The thing described (kept alive, so that its id stays its own) and its description.
Places: TypeAlias = "dict[tuple[Any, ...], tuple[object, Any]]"


class Place(Struct, frozen=True):
    """How an array is read at every point of a grid.

    Attributes:
        order, shape: when every entry is an index of its own: the axes in the order of the grid,
            and the shape with an axis of length 1 for every index that does not occur.
        positions: otherwise, for every axis of the array, positions inside it.
        mask: where the points lie inside the array; None: everywhere.
    """

    order: tuple[int, ...] | None
    shape: tuple[int, ...]
    positions: tuple[Any, ...] = ()
    mask: Any = None

    def read(self, array: Array) -> Array:
        if self.order is not None:
            return array.transpose(self.order).reshape(self.shape)
        return np.asarray(array[self.positions])


def place_of(
    entries: Sequence[Affine],
    shape: tuple[int, ...],
    indices: tuple[Index, ...],
    lengths: Sequence[int],
    size: Callable[[Dim], int],
) -> Place:
    """Where a grid over `indices` (of `lengths`) reads an array of this shape; no labels."""
    axes = [None if e.as_index is None else indices.index(e.as_index) for e in entries]
    used = [axis for axis in axes if axis is not None]
    plain = len(set(used)) == len(used) and all(
        (length == 1 and not e.terms and not size(e.const))
        if axis is None
        else length == lengths[axis]
        for e, axis, length in zip(entries, axes, shape, strict=True)
    )
    if plain:
        order = sorted(range(len(axes)), key=lambda k: -1 if axes[k] is None else axes[k])  # type: ignore[arg-type,return-value]
        shown = [1] * len(indices)
        for axis in used:
            shown[axis] = lengths[axis]
        return Place(tuple(order), tuple(shown))
    mask: Any = None
    positions = []
    for affine, length in zip(entries, shape, strict=True):
        entry = index_values(affine, indices, lengths, size)
        inside = (entry >= 0) & (entry < length)
        if not inside.all():
            mask = inside if mask is None else mask & inside
            entry = np.clip(entry, 0, length - 1)
        positions.append(entry)
    return Place(None, (), tuple(positions), mask)


def index_values(
    affine: Affine, indices: tuple[Index, ...], lengths: Sequence[int], size: Callable[[Dim], int]
) -> Any:
    """An index expression without labels as integers over a grid."""
    rank = len(indices)
    total: Any = np.full((1,) * rank, size(affine.const), dtype=np.int64)
    for position, coefficient in affine.terms:
        assert isinstance(position, Index)
        axis = indices.index(position)
        shape = [1] * rank
        shape[axis] = lengths[axis]
        total = total + size(coefficient) * np.arange(lengths[axis]).reshape(shape)
    return total
