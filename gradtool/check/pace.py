"""How much a file's code gets done in the time that it has: slow code is spared large points."""

from __future__ import annotations

from math import inf

LITTLE = 1000  # scalar operations: a first call may take long for what it imports
_DEAR = 0.05  # of the time
_LONG = 0.5  # seconds: what takes that long is slow however little it does


class Pace:
    """The time that points took, and what further ones would take.

    It is the time that the worker says its code took on a processor, or on the clock where that
    is more than a tenth of a second: who else is busy on the machine leaves out no points of code
    that is fast.  To claim a long time gains what a pause gains, points that are not looked at,
    and that is told.
    """

    def __init__(self, budget: float) -> None:
        """`budget` is in seconds, for all points together."""
        self._budget = budget
        self._spent = 0.0
        self._per_unit = 0.0  # seconds for a unit of work, at the slowest point

    def took(self, work: int, seconds: float) -> None:
        """A point of so many scalar operations took so long."""
        self._spent += seconds
        if work > LITTLE or seconds > _LONG:
            self._per_unit = max(self._per_unit, seconds / work)

    def affords(self, work: int) -> bool:
        """Whether there is time for so many scalar operations."""
        return work <= LITTLE or self._spent + self._per_unit * work <= self._budget

    def is_dear(self, work: int) -> bool:
        """Whether they would take a large part of the time."""
        return work > LITTLE and self._per_unit * work > _DEAR * self._budget

    def exhaust(self) -> None:
        """No time is left but for points that take hardly any."""
        self._spent = inf
