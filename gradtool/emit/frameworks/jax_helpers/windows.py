# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Sliding windows over the last axes."""

import jax.numpy as jnp


def _windows(x, sizes, strides, pads, dilations, fill=0):
    """Windows of the last axes: those axes count windows, new last axes their entries."""
    first = x.ndim - len(sizes)
    x = jnp.pad(x, ((0, 0),) * first + tuple(pads), constant_values=fill)
    options = zip(sizes, strides, dilations, strict=True)
    for axis, (size, stride, dilation) in enumerate(options, first):
        count = (x.shape[axis] - dilation * (size - 1) - 1) // stride + 1
        place = stride * jnp.arange(count)[:, None] + dilation * jnp.arange(size)
        x = jnp.moveaxis(jnp.take(x, place, axis=axis, mode="clip"), axis + 1, -1)
    return x
