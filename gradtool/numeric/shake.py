"""Random moves of all numbers by a unit in their last place: what rounding does to a formula."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import shake_128
from typing import Any, TypeAlias

import numpy as np

from gradtool.records import Struct

Arrays: TypeAlias = Mapping[str, np.ndarray]

_ARRAYS = (np.ndarray, np.floating)


class Shake(Struct, frozen=True):
    """A move of every real number that goes into a pass by up to ``eps`` of itself.

    `number` chooses among the random moves: equal shakes move equally.  With `every_line` what
    each line of a backward pass by the chain rule gives is moved, too, not only what goes in.
    With a `side` every number moves to that side: -1 towards zero, 1 away from it.
    """

    number: int
    eps: float
    every_line: bool = False
    side: int = 0

    def moving(self) -> Moves:
        """The moves, array after array."""
        return Moves(self.number, self.eps, self.side)


class Moves(Struct):
    """The moves of one shake: an array up or down, entry by entry, as random bits say.

    The bits are a hash of the number of the shake and of the array's place.  A layer of a thousand
    parameters is shaken dozens of times in a check; NumPy's generators take longer to be made than
    these bits.
    """

    number: int
    eps: float
    side: int = 0
    _count: int = 0

    def __call__(self, value: Any) -> Any:
        """A moved copy; what is no array of reals is returned as it is."""
        if not isinstance(value, _ARRAYS) or value.dtype.kind != "f":
            return value
        if self.side:
            return value * (1 + self.side * self.eps)
        self._count += 1
        bits = shake_128(b"%d %d" % (self.number, self._count)).digest((value.size + 7) // 8)
        eight = _factors(self.eps).take(np.frombuffer(bits, np.uint8), 0)
        factors = eight.ravel()[: value.size].reshape(value.shape)
        if value.dtype != factors.dtype or not value.ndim:
            return value * factors
        return np.multiply(value, factors, factors)


@cache
def _factors(eps: float) -> np.ndarray:
    """A row of eight factors for each byte."""
    signs = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    return np.array([1 - eps, 1 + eps])[signs]
