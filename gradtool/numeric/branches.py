"""The branch that every comparison, kink and maximum takes at one point, kept nearby.

A layer may have a derivative where a single operation on the way has none: ``abs(X) * sign(X)`` is
X, and at zero the kinks of its two factors cancel.  The chain rule goes through single operations,
each by its convention at a kink, and gives 0 there.  Such a formula is the derivative of the pass
in which every operation that stands at its kink keeps its branch; what it gives anywhere else is a
mistake.  A pass is recorded at a point and repeated beside it with the same choices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradtool.ir.index import Index
from gradtool.ir.poly import Atom, Poly
from gradtool.records import Struct, field

Array = Any


class Edge(Struct, frozen=True):
    """An operation that stands exactly at its kink somewhere, or a root that is one of zero.

    Attributes:
        base: the comparison or function, or what a power is of; None for a tie of a maximum.
        indices: the axes of the statement that it stands in.
        line: of the forward pass, 1-based.
        root: whether it is a power of zero, which has no finite slope, or no value.
    """

    base: Atom | Poly | None
    indices: tuple[Index, ...]
    line: int
    root: bool = False


class Branches(Struct):
    """What a recorded pass chose, in the order in which it did.

    Attributes:
        edges: what stands at its kink.
        line: of the statement that is evaluated.
        narrow: how far the two values are apart that are nearest to each other of all that were
            compared and not equal.
        quotients: whether a division by zero is told like a root of zero: no condition keeps it
            out of the layer, so it is of an entry that nothing reads.
    """

    edges: list[Edge] = field(default_factory=list)
    line: int = 0
    narrow: Any = math.inf
    quotients: bool = False
    _chosen: list[tuple[Array, Array]] = field(default_factory=list)
    _replayed: int | None = None

    def repeat(self) -> None:
        """From now on what was recorded is repeated, from its beginning."""
        self._replayed = 0

    def mark(self) -> tuple[int, int]:
        """Where the pass is, for `back`."""
        place = len(self._chosen) if self._replayed is None else self._replayed
        return place, len(self.edges)

    def back(self, mark: tuple[int, int]) -> None:
        """Go back to where the pass was: it is made again from there."""
        place, edges = mark
        if self._replayed is None:
            del self._chosen[place:], self.edges[edges:]
        else:
            self._replayed = place

    def compared(
        self, base: Atom, indices: Sequence[Index], holds: Array, left: Array, right: Array
    ) -> Array:
        """Whether a comparison holds: where both sides were equal, what was so there."""
        return self._kept(base, indices, np.asarray(holds), left - right)

    def at_kinks(self, base: Atom, indices: Sequence[Index], value: Array, gap: Array) -> Array:
        """The value of a function: where it was at its kink, that value; its slope is 0 there."""
        return self._kept(base, indices, np.asarray(value), gap)

    def best(self, indices: Sequence[Index], best: Array, gaps: Array) -> Array:
        """The positions of the largest values, and how far others are from these."""
        if self._replayed is None:
            if np.any((gaps == 0).sum(axis=-1) > 1):
                self.edges.append(Edge(None, tuple(indices), self.line))
            self._measure(gaps)
        return self._chose(best, np.ones(best.shape, dtype=bool))

    def root_of_zero(self, base: Poly, indices: Sequence[Index]) -> None:
        """A fractional power, or one with a computed exponent, whose base is zero."""
        if self._replayed is None:
            self.edges.append(Edge(base, tuple(indices), self.line, root=True))

    def _kept(self, base: Atom, indices: Sequence[Index], now: Array, gap: Array) -> Array:
        tied = np.asarray(gap == 0, dtype=bool)
        if self._replayed is None:
            if tied.any():
                self.edges.append(Edge(base, tuple(indices), self.line))
            self._measure(gap)
        return self._chose(now, tied)

    def _measure(self, gaps: Array) -> None:
        apart = np.abs(gaps[gaps != 0])
        if apart.size:
            self.narrow = min(self.narrow, apart.min())

    def _chose(self, now: Array, kept: Array) -> Array:
        if self._replayed is None:
            self._chosen.append((now, kept))
            return now
        before, kept = self._chosen[self._replayed]
        self._replayed += 1
        return np.where(kept, before, now)
