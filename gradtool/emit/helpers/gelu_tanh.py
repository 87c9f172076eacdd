# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The GELU in its tanh form."""

import math

import numpy as np


def _gelu_tanh(x):
    """x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
