"""Random moves of all numbers by a unit in their last place: what rounding does to a formula."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Arrays: TypeAlias = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Shake:
    """A move of every real number that goes into a pass by up to ``eps`` of itself.

    `number` chooses among the random moves: equal shakes move equally.  With `every_line` what
    each line of a backward pass by the chain rule gives is moved, too, not only what goes in.
    """

    number: int
    eps: float
    every_line: bool = False

    def moving(self) -> Moves:
        """The moves, array after array."""
        return Moves(np.random.default_rng([self.number, 17]), self.eps)


@dataclass(frozen=True, slots=True)
class Moves:
    """The moves of one shake."""

    rng: np.random.Generator
    eps: float

    def __call__(self, value: Any) -> Any:
        """A moved copy; what is no array of reals is returned as it is."""
        if not isinstance(value, np.ndarray | np.floating) or value.dtype.kind != "f":
            return value
        size = value.size
        bits = np.frombuffer(self.rng.bytes((size + 7) // 8), dtype=np.uint8)
        signs = np.unpackbits(bits, count=size).reshape(value.shape)
        return value * np.array([1 - self.eps, 1 + self.eps])[signs]
