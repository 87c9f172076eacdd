# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The softplus without overflow."""

import torch


def _softplus(x):
    """log(1 + exp(x)); beyond 40 the difference to x is lost in float64 too."""
    return torch.nn.functional.softplus(x, threshold=40.0)
