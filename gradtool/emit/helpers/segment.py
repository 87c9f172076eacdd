# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""A stretch of one axis, zeros where it reaches outside."""

import numpy as np


def _segment(x, axis, start, length):
    """Entries start .. start + length - 1 of an axis; those outside the array are zero."""
    size = x.shape[axis]
    low, high = max(start, 0), max(min(start + length, size), max(start, 0))
    inside = [slice(None)] * x.ndim
    inside[axis] = slice(low, high)
    if low == start and high == start + length:
        return x[tuple(inside)]
    shape = list(x.shape)
    shape[axis] = length
    result = np.zeros(shape, x.dtype)
    target = [slice(None)] * x.ndim
    target[axis] = slice(low - start, high - start)
    result[tuple(target)] = x[tuple(inside)]
    return result
