"""A batch system whose time is up, or a terminal that is closed, ends a run as an interrupt does:
what is graded is kept and told, and no copy of a submission is left behind.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def as_interrupt() -> Iterator[None]:
    """In this block these signals raise `KeyboardInterrupt`; not where one is ignored, as by
    ``nohup``, or where somebody else has asked for it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only there can it be asked for
        return
    ours = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
