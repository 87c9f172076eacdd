# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""The transpose of im2col."""

import torch


def _col2im(col, shape, sizes, strides, pads, dilations):
    """Every entry of the rows `col` added where the window has it, in images (N, C, H, W)."""
    n, c, height, width = shape
    (top, bottom), (left, right) = pads
    padded = (height + top + bottom, width + left + right)
    rows = col.reshape(n, -1, c * sizes[0] * sizes[1]).mT
    image = torch.nn.functional.fold(rows, padded, sizes, dilation=dilations, stride=strides)
    return image[:, :, top : top + height, left : left + width]
