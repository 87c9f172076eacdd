"""How the workers of `gradtool lint` are prepared before they are forked."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gradtool.lint.isolation.jobs import Setup

LIBRARIES = ("numpy",)
"""What a submission may import where the assignment names nothing else."""


def setup_for(libraries: Sequence[str]) -> Setup:
    """For submissions that may import these."""
    return Setup(
        libraries=tuple(libraries),
        preload=("gradtool.lint.serve",),
        rehearse=("gradtool.lint.rehearsal:rehearse",),
        warm=sys.platform == "linux",
    )
