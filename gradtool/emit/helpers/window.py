# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Windows that slide along an axis, without a copy where possible."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def _window(x, axis, start, steps, counts, fill=0):
    """Entries start + sum(step * i) of an axis for 0 <= i < count; `fill` outside the array.

    The first of the indices i stands on the axis itself, further ones on new last axes.
    """
    start += sum(s * (n - 1) for s, n in zip(steps, counts, strict=True) if s < 0)
    length = 1 + sum(abs(s) * (n - 1) for s, n in zip(steps, counts, strict=True))
    before, after = max(-start, 0), max(start + length - x.shape[axis], 0)
    if before or after:
        widths = [(0, 0)] * x.ndim
        widths[axis] = (before, after)
        x = np.pad(x, widths, constant_values=fill)
    whole = (slice(None),) * axis
    x = x[(*whole, slice(start + before, start + before + length))]
    for step, count in zip(steps[1:], counts[1:], strict=True):
        x = sliding_window_view(x, abs(step) * (count - 1) + 1, axis)
        x = x[..., :: abs(step)][..., :: 1 if step > 0 else -1]
    x = x[(*whole, slice(None, None, abs(steps[0])))]
    return x if steps[0] > 0 else np.flip(x, axis)
