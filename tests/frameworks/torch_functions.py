"""The words of the spec language in PyTorch, written for the tests from PyTorch's own layers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any


@cache
def torch() -> Any:
    """PyTorch; imported only by a test that runs."""
    return importlib.import_module("torch")


@cache
def functions() -> Mapping[str, Callable[..., Any]]:
    t = torch()
    nn = t.nn.functional

    def array(x: Any) -> Any:
        return x if isinstance(x, t.Tensor) else t.tensor(x, dtype=t.float64)

    def elementwise(function: Any) -> Any:
        return lambda *several: function(*map(array, several))

    def reduced(function: Any) -> Any:
        def apply(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
            x = array(x)
            x = x.double() if x.dtype == t.bool else x
            return function(x, dim=tuple(range(x.dim())) if axis is None else axis,
                            keepdim=keepdims)  # fmt: skip

        return apply

    def reshape(x: Any, *shape: Any) -> Any:
        return x.reshape(shape[0] if isinstance(shape[0], tuple) else shape)

    def transpose(x: Any, *axes: Any) -> Any:
        return x.permute(*(axes[0] if isinstance(axes[0], tuple) else axes))

    def convolution(function: Any) -> Any:
        def apply(x: Any, f: Any, b: Any = None, stride: Any = 1, pad: Any = 0, dilation: Any = 1,
                  groups: Any = 1) -> Any:  # fmt: skip
            plain = x.dim() == f.dim() == 2
            if plain:
                x, f = x[None, None], f[None, None]
            y = function(x, f, b, stride=stride, padding=pad, dilation=dilation, groups=groups)
            return y[0, 0] if plain else y

        return apply

    def pooled(function: Any) -> Any:
        return lambda x, size=2, stride=None, pad=0: function(x, size, stride=stride, padding=pad)

    def im2col(x: Any, size: Any) -> Any:
        rows = nn.unfold(x, size)
        return rows.transpose(1, 2).reshape(-1, rows.shape[1])

    def put(x: Any, index: Any, value: Any) -> Any:
        x = x.clone()
        x[index] = value
        return x

    def softmax(x: Any, axis: int = -1) -> Any:
        return t.softmax(x, dim=axis)

    smooth = {name: elementwise(getattr(t, name)) for name in (
        "exp", "log", "sqrt", "abs", "sin", "cos", "tanh", "sigmoid", "erf", "maximum", "minimum",
        "relu", "log1p", "sign", "clip", "outer",
    )}  # fmt: skip
    return {
        **smooth,
        "softplus": lambda x: t.logaddexp(x, t.zeros_like(x)),
        "logcosh": lambda x: t.log(t.cosh(x)),
        "sum": reduced(t.sum),
        "mean": reduced(t.mean),
        "max": reduced(t.amax),
        "min": reduced(t.amin),
        "var": lambda x, axis, keepdims=False: t.var(x, axis, correction=0, keepdim=keepdims),
        "norm": lambda x, axis=None, keepdims=False: t.sqrt(reduced(t.sum)(x**2, axis, keepdims)),
        "softmax": softmax,
        "log_softmax": lambda x, axis=-1: t.log_softmax(x, dim=axis),
        "logsumexp": lambda x, axis=-1, keepdims=False: t.logsumexp(x, axis, keepdim=keepdims),
        "where": lambda c, x, y: t.where(c, array(x), array(y)),
        "arange": t.arange,
        "onehot": lambda y, classes: nn.one_hot(y.long(), classes).double(),
        "put": put,
        "zeros": lambda shape: t.zeros(shape, dtype=t.float64),
        "eye": lambda n: t.eye(n, dtype=t.float64),
        "einsum": t.einsum,
        "reshape": reshape,
        "transpose": transpose,
        "concatenate": lambda parts, axis=0: t.cat(list(parts), dim=axis),
        "inv": t.linalg.inv,
        "det": t.linalg.det,
        "logdet": lambda a: t.linalg.slogdet(a)[1],
        "solve": t.linalg.solve,
        "cholesky": lambda a: t.linalg.cholesky((a + a.T) / 2),
        "trace": t.trace,
        "conv1d": convolution(nn.conv1d),
        "conv2d": convolution(nn.conv2d),
        "conv_transpose2d": lambda x, f, b, stride=1, pad=0: nn.conv_transpose2d(
            x, f, b, stride=stride, padding=pad
        ),
        "max_pool2d": pooled(nn.max_pool2d),
        "avg_pool2d": pooled(nn.avg_pool2d),
        "global_avg_pool": lambda x: nn.adaptive_avg_pool2d(x, 1)[:, :, 0, 0],
        "upsample_nearest": lambda x, scale: nn.interpolate(x, scale_factor=scale),
        "im2col": im2col,
    }


def conv3d(scope: Mapping[str, Any]) -> Any:
    """The layer that the spec writes in index notation."""
    return torch().nn.functional.conv3d(scope["X"], scope["F"], scope["b"])
