# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The SiLU (swish)."""

import numpy as np


def _silu(x):
    """x / (1 + exp(-x))."""
    e = np.exp(-np.abs(x))
    return x * np.where(np.asarray(x) >= 0, np.ones_like(e), e) / (1 + e)
