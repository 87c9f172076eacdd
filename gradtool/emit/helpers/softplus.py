# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The softplus without overflow."""

import numpy as np


def _softplus(x):
    """log(1 + exp(x))."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
