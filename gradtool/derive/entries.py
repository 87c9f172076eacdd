"""Entries of whole arrays: an index for every axis, and which entry is which after a reshape."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from gradtool.ir.dims import ONE, Dim
from gradtool.ir.index import Affine, Index
from gradtool.ir.poly import UNIT, Iverson, Poly, atom


def places(shape: Iterable[Dim], letter: str = "f") -> tuple[Index, ...]:
    """One index for each axis of a shape."""
    return tuple(Index(f"{letter}{k}:", size) for k, size in enumerate(shape))


def same_entry(new: tuple[Index, ...], old: tuple[Index, ...]) -> Poly:
    """1 where an entry of a reshaped array is the entry of the original.

    Both count their entries row by row.  Axes are compared in the smallest groups of equal size
    (``(N, C*H)`` and ``(N, C, H)`` share N), so that most comparisons are of bare indices.
    """
    counts = [_counts(side) for side in (new, old)]
    cuts = [(0, 0)]
    for i in range(1, len(new)):
        same = (j for j in range(cuts[-1][1], len(old) + 1) if counts[1][j] == counts[0][i])
        j = next(same, None)
        if j is not None:
            cuts.append((i, j))
    cuts.append((len(new), len(old)))
    result = UNIT
    for (i, j), (k, m) in itertools.pairwise(cuts):
        result = result * atom(Iverson("eq", _flat(new[i:k]) - _flat(old[j:m])))
    return result


def _counts(group: Iterable[Index]) -> list[Dim]:
    """How many entries the first 0, 1, 2, … axes have."""
    return list(itertools.accumulate((i.size for i in group), lambda a, b: a * b, initial=ONE))


def _flat(group: Iterable[Index]) -> Affine:
    flat = Affine.of(0)
    for index in group:
        flat = flat * index.size + index
    return flat
