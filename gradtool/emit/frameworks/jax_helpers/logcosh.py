# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The logarithm of cosh without overflow."""

import math

import jax.numpy as jnp


def _logcosh(x):
    """log(cosh(x))."""
    return jnp.logaddexp(x, -x) - math.log(2)
