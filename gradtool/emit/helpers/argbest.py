# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The position of the largest entry over several axes."""

import numpy as np


def _argbest(x, axes):
    """The row-major position of the first largest entry over `axes`."""
    last = range(x.ndim - len(axes), x.ndim)
    moved = np.moveaxis(x, axes, last)
    return moved.reshape(*moved.shape[: x.ndim - len(axes)], -1).argmax(axis=-1)
