# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Sums at positions that may repeat, the positions counted through the whole array."""

import numpy as np


def _add_at(shape, places, value):
    """Zeros of a shape with each entry of `value` added at its place, counted row by row."""
    result = np.zeros(shape, value.dtype)
    np.add.at(result.reshape(-1), places.ravel(), np.broadcast_to(value, places.shape).ravel())
    return result
