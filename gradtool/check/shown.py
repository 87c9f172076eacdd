"""What further questions show of code that is right at every point: remarks and mistakes."""

from __future__ import annotations

from gradtool.check.compare import Role
from gradtool.check.measure import Point
from gradtool.check.result import Cause, Remark, Worst
from gradtool.records import Struct

MOST_WORK = 50_000  # scalar operations of a pass that is run a few times more
JUMP = 1e4  # times its bound: rounding that begins to show is far below


class Mistake(Struct, frozen=True):
    """An output or a gradient that is wrong somewhere: what is said, and the entry that shows it.

    `point` is where, if differences can be taken there: not beside a kink or the end of a domain,
    nor in the second batch of an object.
    """

    role: Role
    name: str
    text: str
    worst: Worst | None = None
    point: Point | None = None
    cause: Cause | None = None


class Shown(Struct, frozen=True):
    """What was to be said beside the verdict, and what is wrong; `probes` is how many more."""

    remarks: tuple[Remark, ...] = ()
    wrong: tuple[Mistake, ...] = ()
    probes: int = 0

    def and_also(self, other: Shown) -> Shown:
        return Shown(
            (*self.remarks, *other.remarks),
            (*self.wrong, *other.wrong),
            self.probes + other.probes,
        )
