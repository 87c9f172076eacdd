# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The logarithm of cosh without overflow."""

import math

import numpy as np


def _logcosh(x):
    """log(cosh(x)), which is |x| - log(2) far from zero."""
    size = np.abs(x)
    return size + np.log1p(np.exp(-2 * size)) - math.log(2)
