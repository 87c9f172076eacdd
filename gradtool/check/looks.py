"""Further questions to code that is right at every point, one after the other.

Code may hang or end the process at one of them, such as huge values.  That is told there; the
others are asked in a new worker: of one that is gone they would say what is not so, and would find
no mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gradtool.check.facts import Case
from gradtool.check.measure import restarted
from gradtool.check.shown import Shown
from gradtool.records import Struct

_MOST = 2  # workers in place of one that was lost: who hangs each time takes all the time each time


class Looks(Struct):
    """The questions to one case.

    Attributes:
        passed_over: whether there was no worker left for some.
    """

    case: Case
    passed_over: bool = False
    _restarts: int = 0

    def may_ask(self) -> bool:
        """Whether there is a worker, if need be a new one."""
        case = self.case
        if case.session.lost:
            self._restarts += 1
            there = self._restarts <= _MOST and restarted(
                case.session, case.reference, case.binding
            )
            self.passed_over |= not there
            return there
        return True

    def shown(self, look: Callable[[Case], Shown]) -> Shown:
        """What a question shows; nothing where it cannot be asked."""
        return look(self.case) if self.may_ask() else Shown()

    def further(self, found: Shown, looks: Iterable[Callable[[Case], Shown]]) -> Shown:
        """What was found with what more questions show, until something is wrong."""
        for look in looks:
            if found.wrong:
                break
            found = found.and_also(self.shown(look))
        return found
