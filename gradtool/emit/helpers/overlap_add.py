# mypy: ignore-errors
# Copied into emitted modules as it stands, where annotations would be noise.
"""Sums of windows that overlap: the transpose of taking windows."""

import numpy as np


def _overlap_add(shape, axes, window, part, start, step, spacing):
    """Zeros of a shape with part(*place) added for every place of a window.

    Along each of `axes`, entry i of a part belongs at start + step * i + spacing * place; what
    lies outside is left out.
    """
    result = None
    for place in np.ndindex(*window):
        value = part(*place)
        if result is None:
            result = np.zeros(shape, value.dtype)
        target, source = [slice(None)] * len(shape), [slice(None)] * len(shape)
        for axis, p, s, d, r in zip(axes, start, step, spacing, place, strict=True):
            first = p + d * r
            low = max(0, -(first // s))
            high = min(value.shape[axis], (shape[axis] - first - 1) // s + 1)
            source[axis] = slice(low, max(low, high))
            target[axis] = slice(first + s * low, first + s * max(low, high), s)
        result[tuple(target)] += value[tuple(source)]
    return result
