# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The logistic function without overflow and with full precision at both ends."""

import numpy as np


def _sigmoid(x):
    """1 / (1 + exp(-x)); only exponentials of negative numbers, so nothing overflows."""
    e = np.exp(-np.abs(x))
    return np.where(np.asarray(x) >= 0, np.ones_like(e), e) / (1 + e)
