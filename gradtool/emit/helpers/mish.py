# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The mish."""

import numpy as np


def _mish(x):
    """x * tanh(log(1 + exp(x)))."""
    return x * np.tanh(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))
