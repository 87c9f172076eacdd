# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Rows with a one at the label."""

import numpy as np


def _onehot(labels, classes, dtype):
    """Zeros with a 1 at each label; one more axis, of the size `classes`, than the labels."""
    labels = np.asarray(labels)
    rows = np.zeros((*labels.shape, classes), dtype)
    np.put_along_axis(rows, labels[..., None], 1, axis=-1)
    return rows
