# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Logarithm of a sum of exponentials that cannot overflow."""

import numpy as np


def _logsumexp(x, axis, keepdims=False):
    """log(exp(x).sum(axis)), shifted by the maximum so that exp cannot overflow."""
    top = np.max(x, axis=axis, keepdims=True)
    total = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return total if keepdims else np.squeeze(total, axis)
