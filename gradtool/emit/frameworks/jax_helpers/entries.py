# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Gathered entries, and a number where the index is outside."""

import jax.numpy as jnp


def _entries(x, *index, fill=0):
    """x[index] for integers that broadcast; `fill` where an index lies outside."""
    inside, places = True, []
    for i, n in zip(index, x.shape, strict=True):
        i = jnp.asarray(i)
        inside = inside & (i >= 0) & (i < n)
        places.append(jnp.clip(i, 0, n - 1))
    return jnp.where(inside, x[tuple(places)], fill)
