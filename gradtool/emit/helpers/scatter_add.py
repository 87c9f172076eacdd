# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Rows added up by their labels."""

import math

import numpy as np


def _scatter_add(labels, rows, classes):
    """One row for each class: the sum of the rows with that label, zero without any.

    A flat index lets np.add.at take its fast path.
    """
    labels = np.asarray(labels)
    shape = rows.shape[labels.ndim :]
    width = math.prod(shape)
    result = np.zeros((classes, *shape), rows.dtype)
    places = labels.reshape(-1, 1) * width + np.arange(width)
    np.add.at(result.reshape(-1), places.ravel(), rows.ravel())
    return result
