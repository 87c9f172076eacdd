# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The exact GELU."""

import jax


def _gelu(x):
    """x * (1 + erf(x / sqrt(2))) / 2."""
    return jax.nn.gelu(x, approximate=False)
