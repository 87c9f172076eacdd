# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The logarithm of cosh without overflow."""

import math

import torch


def _logcosh(x):
    """log(cosh(x))."""
    return torch.logaddexp(x, -x) - math.log(2)
