# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Logarithm of the softmax that cannot overflow."""

import numpy as np


def _log_softmax(x, axis):
    """x - logsumexp(x, axis), shifted by the maximum so that exp cannot overflow."""
    shifted = x - np.max(x, axis=axis, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return shifted
