# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Gathered entries, a fixed value where the index is outside."""

import numpy as np


def _entries(x, *index, fill=0):
    """x[index] for integer arrays that broadcast; `fill` where an index lies outside."""
    value = x[tuple(np.clip(i, 0, n - 1) for i, n in zip(index, x.shape, strict=True))]
    inside = True
    for i, n in zip(index, x.shape, strict=True):
        inside = inside & (np.asarray(i) >= 0) & (np.asarray(i) < n)
    return np.where(inside, value, np.asarray(fill, x.dtype))
