# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The logarithm of the logistic function without overflow."""

import numpy as np


def _logsigmoid(x):
    """-log(1 + exp(-x))."""
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))
