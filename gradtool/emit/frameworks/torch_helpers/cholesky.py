# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The Cholesky factor of the symmetric part."""

import torch


def _cholesky(x):
    """The lower triangular L with L @ L.T = x; x counts by its symmetric part."""
    return torch.linalg.cholesky((x + x.mT) / 2)
