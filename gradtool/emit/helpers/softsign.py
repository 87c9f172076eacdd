# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The softsign."""

import numpy as np


def _softsign(x):
    """x / (1 + |x|)."""
    return x / (1 + np.abs(x))
