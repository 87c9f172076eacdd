# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Rows added up by their labels."""


def _scatter_add(labels, rows, classes):
    """Zeros with every row added at its label."""
    rest = rows.shape[labels.dim() :]
    total = rows.new_zeros((classes, *rest))
    return total.index_add(0, labels.reshape(-1), rows.reshape(-1, *rest))
