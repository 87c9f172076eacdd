"""The interpreter that forks the workers, started before the judge has imported what it needs.

Each of the two imports NumPy and more; beside each other that takes half the time.  The command
line starts it before it is parsed itself, and before this module imports anything else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gradtool.lint.isolation.launch import Interpreter

if TYPE_CHECKING:
    from gradtool.lint.isolation.zygote import Zygote

_launched: list[Zygote] = []


@contextmanager
def ahead() -> Iterator[None]:
    """Have one launched for who asks for it in this block; else it is closed behind it."""
    _launched.append(begun())
    try:
        yield
    finally:
        for zygote in _launched:
            zygote.close()
        _launched.clear()


def begun() -> Zygote:
    """One for an assignment without further libraries; a context manager, not started yet.

    It can be dropped when it turns out to be of no use.
    """
    if _launched:
        return _launched.pop()
    interpreter = _interpreter()
    from gradtool.lint.isolation.zygote import Zygote
    from gradtool.lint.preparation import LIBRARIES, setup_for

    return Zygote(setup_for(LIBRARIES), interpreter)


def _interpreter() -> Interpreter | None:
    if sys.platform != "linux":
        return None  # each worker has one of its own
    try:
        return Interpreter()
    except OSError:  # `Zygote.start` tries again, and tells
        return None
