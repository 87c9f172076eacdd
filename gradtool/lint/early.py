"""The interpreter that forks the workers, started before the judge has imported what it needs.

Each of the two imports NumPy and more; beside each other that takes half the time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress

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


def begun() -> Zygote:
    """One for an assignment without further libraries; a context manager, not started yet.

    It can be dropped when it turns out to be of no use.
    """
    zygote = Zygote(setup_for(LIBRARIES))
    with suppress(ZygoteGone):  # `start` tries again, and tells
        zygote.launch()
    return zygote
