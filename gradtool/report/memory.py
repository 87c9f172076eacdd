"""How a process with threads that are short of memory keeps it."""

from __future__ import annotations

import sys
from contextlib import suppress

_M_ARENA_MAX = -8  # of glibc's malloc.h


def together() -> None:
    """Freed memory is there for all threads, from now on.

    The C library gives each thread memory of its own, and keeps there what is free of it: a fifth
    of all where three judges look for causes, each with large arrays now and then.  They do not
    wait for each other for it, as only one of them computes at a time.
    """
    if sys.platform != "linux":
        return
    import ctypes

    with suppress(AttributeError, OSError):  # another C library, whose threads share it
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
