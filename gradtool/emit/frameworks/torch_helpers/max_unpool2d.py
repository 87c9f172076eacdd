# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Values sent to the entries of windows that won."""

import torch


def _max_unpool2d(x, best, shape, sizes, strides, pads):
    """Every entry of x at the place of its window that `best` names; what meets adds up."""
    rows = strides[0] * torch.arange(x.shape[-2], device=x.device)[:, None]
    rows = rows + best // sizes[1] - pads[0][0]
    columns = strides[1] * torch.arange(x.shape[-1], device=x.device)
    columns = columns + best % sizes[1] - pads[1][0]
    place = (rows * shape[1] + columns).flatten(-2)
    image = x.new_zeros((*x.shape[:-2], shape[0] * shape[1]))
    return image.scatter_add(-1, place, x.flatten(-2)).unflatten(-1, shape)
