"""Windows, convolutions and pooling for the reference, with NumPy's own sliding windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def _each(value: int | Sequence[int], count: int) -> tuple[int, ...]:
    return (value,) * count if isinstance(value, int) else tuple(value)


def _padded(x: Any, pad: Sequence[int], fill: float = 0) -> Any:
    widths = [(0, 0)] * (x.ndim - len(pad)) + [(p, p) for p in pad]
    return np.pad(1.0 * x, widths, constant_values=fill)


def windows(
    x: Any, size: Any, stride: Any = 1, pad: Any = 0, dilation: Any = 1, fill: float = 0
) -> Any:
    """``(…, H, W)`` to ``(…, Ho, Wo, R, S)``."""
    size = (size,) if isinstance(size, int) else tuple(size)
    count = len(size)
    stride, pad, dilation = (_each(v, count) for v in (stride, pad, dilation))
    reach = [(s - 1) * d + 1 for s, d in zip(size, dilation, strict=True)]
    axes = tuple(range(x.ndim - count, x.ndim))
    every = sliding_window_view(_padded(x, pad, fill), reach, axis=axes)
    cut = [slice(None)] * (x.ndim - count)
    return every[
        (*cut, *(slice(None, None, s) for s in stride), *(slice(None, None, d) for d in dilation))
    ]


def conv(count: int) -> Callable[..., Any]:
    """A convolution over the last `count` axes."""

    def apply(
        x: Any, filter: Any, bias: Any = None, stride: Any = 1, pad: Any = 0, dilation: Any = 1
    ) -> Any:
        bare = x.ndim == count
        images, kernels = (x[None, None], filter[None, None]) if bare else (x, filter)
        every = windows(images, kernels.shape[2:], stride, pad, dilation)
        places = "abc"[:count]
        inner = "rst"[:count]
        out = np.einsum(f"ni{places}{inner},ki{inner}->nk{places}", every, kernels)
        if bias is not None:
            out = out + bias.reshape(-1, *[1] * count)
        return out[0, 0] if bare else out

    return apply


def conv_transpose(count: int) -> Callable[..., Any]:
    """Every entry of x spreads a scaled filter."""

    def apply(x: Any, filter: Any, stride: Any = 1) -> Any:
        bare = x.ndim == count
        images, kernels = (x[None, None], filter[None, None]) if bare else (x, filter)
        step = _each(stride, count)
        lengths = [
            (h - 1) * s + r
            for h, s, r in zip(images.shape[2:], step, kernels.shape[2:], strict=True)
        ]
        out = np.zeros((images.shape[0], kernels.shape[1], *lengths), dtype=images.dtype)
        for place in np.ndindex(*kernels.shape[2:]):
            part = np.einsum("ni...,ik->nk...", images, kernels[(slice(None), slice(None), *place)])
            where = [
                slice(p, p + (h - 1) * s + 1, s)
                for p, h, s in zip(place, images.shape[2:], step, strict=True)
            ]
            out[(slice(None), slice(None), *where)] += part
        return out[0, 0] if bare else out

    return apply


def im2col(x: Any, size: Any, stride: Any = 1, pad: Any = 0) -> Any:
    every = windows(x, _each(size, 2), stride, pad)
    n, c, rows, columns, height, width = every.shape
    return every.transpose(0, 2, 3, 1, 4, 5).reshape(n * rows * columns, c * height * width)


def col2im(col: Any, shape: Any, size: Any) -> Any:
    n, c, h, w = shape
    r, s = size
    parts = col.reshape(n, h - r + 1, w - s + 1, c, r, s)
    out = np.zeros(shape, dtype=col.dtype)
    for i, j, p, q in np.ndindex(h - r + 1, w - s + 1, r, s):
        out[:, :, i + p, j + q] += parts[:, i, j, :, p, q]
    return out


def max_pool2d(x: Any, size: Any = 2, stride: Any = None, pad: Any = 0) -> Any:
    size = _each(size, 2)
    step = size if stride is None else stride
    return windows(x, size, step, pad, fill=-np.inf).max(axis=(-1, -2))


def avg_pool2d(x: Any, size: Any = 2, stride: Any = None, pad: Any = 0) -> Any:
    size = _each(size, 2)
    return windows(x, size, size if stride is None else stride, pad).mean(axis=(-1, -2))


def upsample_nearest(x: Any, scale: Any = 2) -> Any:
    down, across = _each(scale, 2)
    return x.repeat(down, axis=-2).repeat(across, axis=-1)


SLIDING: dict[str, Callable[..., Any]] = {
    "windows": windows,
    "im2col": im2col,
    "col2im": col2im,
    "conv1d": conv(1),
    "conv2d": conv(2),
    "conv3d": conv(3),
    "conv_transpose1d": conv_transpose(1),
    "conv_transpose2d": conv_transpose(2),
    "conv_transpose3d": conv_transpose(3),
    "max_pool2d": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "upsample_nearest": upsample_nearest,
    "global_avg_pool": lambda x: x.mean(axis=(-1, -2)),
    "global_max_pool": lambda x: x.max(axis=(-1, -2)),
}
