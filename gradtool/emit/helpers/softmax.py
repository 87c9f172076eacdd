# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Softmax that cannot overflow."""

import numpy as np


def _softmax(x, axis):
    """exp(x) / exp(x).sum(axis), shifted by the maximum so that exp cannot overflow."""
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    e /= e.sum(axis=axis, keepdims=True)
    return e
