# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""A transposed convolution with a given size of the result."""

import torch


def _conv_transpose(x, f, shape, strides, pads, dilations, groups):
    """The transpose of a convolution of images of the size `shape`, padded by `pads`."""
    rank = len(shape)
    convolve = getattr(torch.nn.functional, f"conv_transpose{rank}d")
    whole = convolve(x, f, stride=strides, dilation=dilations, groups=groups)
    # What lies in the padding is dropped; what no window reached is zero.
    widths = []
    for axis in reversed(range(rank)):
        before = pads[axis][0]
        widths += [-before, shape[axis] + before - whole.shape[axis - rank]]
    return torch.nn.functional.pad(whole, widths)
