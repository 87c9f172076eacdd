# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The leaky ReLU."""

import numpy as np


def _leaky_relu(x, slope):
    """x where x > 0, slope * x elsewhere."""
    return np.where(np.asarray(x) > 0, x, slope * x)
