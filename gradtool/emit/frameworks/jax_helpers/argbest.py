# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The position of the largest entry over several axes."""

import jax.numpy as jnp


def _argbest(x, axes):
    """The row-major position of the first largest entry over `axes`."""
    moved = jnp.moveaxis(x, axes, tuple(range(-len(axes), 0)))
    return moved.reshape(*moved.shape[: -len(axes)], -1).argmax(axis=-1)
