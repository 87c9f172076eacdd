# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Zeros between the entries of an axis."""

import numpy as np


def _spread(x, axis, step):
    """The entries of an axis `step` apart, zeros between them."""
    if step == 1:
        return x
    shape = list(x.shape)
    shape[axis] = (shape[axis] - 1) * step + 1
    result = np.zeros(shape, x.dtype)
    result[(slice(None),) * axis + (slice(None, None, step),)] = x
    return result
