# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Sliding windows over the last axes."""

import torch


def _windows(x, sizes, strides, pads, dilations, fill=0.0):
    """Windows of the last axes: those axes count windows, new last axes their entries."""
    widths = [width for pad in reversed(pads) for width in pad]
    if any(widths):
        x = torch.nn.functional.pad(x, widths, value=fill)
    first = x.dim() - len(sizes)
    options = zip(sizes, strides, dilations, strict=True)
    for axis, (size, stride, dilation) in enumerate(options, first):
        x = x.unfold(axis, dilation * (size - 1) + 1, stride)[..., ::dilation]
    return x
