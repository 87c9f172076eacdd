"""How much a file's code gets done in the time that it has: slow code is spared large points."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from gradtool.check.session import CheckTrouble

T = TypeVar("T")

LITTLE = 1000  # scalar operations: below, starting and talking is what takes the time
_DEAR = 0.05  # of the time
_LONG = 0.5  # seconds: what takes that long is slow however little it does


class Pace:
    """The time that points took, and what further ones would take.

    A machine that was busy for a moment is no slow code: what a point took is believed when it
    takes as long once more, so that two runs leave out the same points.
    """

    def __init__(self, budget: float) -> None:
        """`budget` is in seconds, for all points together."""
        self._budget = budget
        self._spent = 0.0
        self._per_unit = 0.0  # seconds for a unit of work, at the slowest point
        self._once_more: Callable[[], float] | None = None  # that of the slowest point

    def timed(self, work: int, evaluate: Callable[[], T]) -> T:
        """What `evaluate` gives at a point of so many scalar operations."""
        found: list[T] = []

        def per_unit() -> float:
            start = time.perf_counter()
            found[:] = [evaluate()]
            seconds = time.perf_counter() - start
            self._spent += seconds
            return seconds / work if work > LITTLE or seconds > _LONG else 0.0

        taken = per_unit()
        if taken > self._per_unit:
            self._per_unit, self._once_more = taken, per_unit
        return found[0]

    def affords(self, work: int) -> bool:
        """Whether there is time for so many scalar operations."""
        return work <= LITTLE or self._takes_less(work, self._budget - self._spent)

    def is_dear(self, work: int) -> bool:
        """Whether they would take a large part of the time."""
        return work > LITTLE and not self._takes_less(work, _DEAR * self._budget)

    def exhaust(self) -> None:
        """No time is left but for points that take hardly any."""
        self._spent, self._once_more = self._budget, None

    def _takes_less(self, work: int, seconds: float) -> bool:
        if seconds > 0 and self._per_unit * work > seconds and self._once_more is not None:
            once_more, self._once_more = self._once_more, None
            try:
                self._per_unit = min(self._per_unit, once_more())
            except CheckTrouble:  # whoever asks next is told
                return False
        return self._per_unit * work <= seconds
