# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Sums at positions that may repeat."""

import numpy as np


def _scatter(shape, index, value):
    """Zeros of a shape with `value` added at `index`, one integer array for each axis.

    A flat index lets np.add.at take its fast path.
    """
    flat = np.ravel_multi_index(index, shape)
    result = np.zeros(np.prod(shape), value.dtype)
    np.add.at(result, flat.ravel(), np.broadcast_to(value, flat.shape).ravel())
    return result.reshape(shape)
