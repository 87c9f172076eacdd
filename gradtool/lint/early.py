"""The interpreter that forks the workers, started before the judge has imported what it needs.

Each of the two imports NumPy and more; beside each other that takes half the time.  The command
line starts it before it is parsed itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from gradtool.lint.isolation.jobs import Setup
from gradtool.lint.isolation.zygote import Zygote, ZygoteGone

LIBRARIES = ("numpy",)
"""What a submission may import where the assignment names nothing else."""


def setup_for(libraries: Sequence[str]) -> Setup:
    """How the workers of `gradtool lint` are prepared."""
    return Setup(
        libraries=tuple(libraries),
        preload=("gradtool.lint.serve",),
        rehearse=("gradtool.lint.rehearsal:rehearse",),
        warm=sys.platform == "linux",
    )


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
    zygote = Zygote(setup_for(LIBRARIES))
    with suppress(ZygoteGone):  # `start` tries again, and tells
        zygote.launch()
    return zygote
