# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Values sent to the entries of windows that won."""

import math

import jax.numpy as jnp


def _max_unpool2d(x, best, shape, sizes, strides, pads):
    """Every entry of x at the place of its window that `best` names; what meets adds up."""
    rows = strides[0] * jnp.arange(x.shape[-2])[:, None] + best // sizes[1] - pads[0][0]
    columns = strides[1] * jnp.arange(x.shape[-1]) + best % sizes[1] - pads[1][0]
    lead = math.prod(x.shape[:-2])
    place = (rows * shape[1] + columns).reshape(lead, -1)
    image = jnp.zeros((lead, shape[0] * shape[1]), x.dtype)
    image = image.at[jnp.arange(lead)[:, None], place].add(x.reshape(lead, -1))
    return image.reshape(*x.shape[:-2], *shape)
