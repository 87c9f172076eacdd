# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The exact GELU; `erf` is SciPy's."""

import math

from scipy.special import erf


def _gelu(x):
    """x * (1 + erf(x / sqrt(2))) / 2."""
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))
