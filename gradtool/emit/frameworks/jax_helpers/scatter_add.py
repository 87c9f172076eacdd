# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Rows added up by their labels."""

import jax.numpy as jnp


def _scatter_add(labels, rows, classes):
    """Zeros with every row added at its label."""
    total = jnp.zeros((classes, *rows.shape[labels.ndim :]), rows.dtype)
    return total.at[labels].add(rows)
