"""The words of the spec language in JAX, written for the tests from JAX's own layers."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any


@cache
def jax() -> Any:
    """JAX in double precision; imported only by a test that runs."""
    # The layers here are small: what is optimised is compiled longer than it runs.  The flag
    # halves the time of the tests; another release of JAX may not know it, and would stop.
    if importlib.metadata.version("jaxlib").startswith("0.10."):
        os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
    found = importlib.import_module("jax")
    found.config.update("jax_enable_x64", True)
    found.config.update("jax_disable_most_optimizations", True)
    return found


@cache
def functions() -> Mapping[str, Callable[..., Any]]:
    lax, nn, jnp = jax().lax, jax().nn, importlib.import_module("jax.numpy")

    def pair(value: Any, rank: int = 2) -> tuple[Any, ...]:
        return tuple(value) if isinstance(value, tuple) else (value,) * rank

    def reshape(x: Any, *shape: Any) -> Any:
        return x.reshape(*shape)

    def transpose(x: Any, *axes: Any) -> Any:
        return x.transpose(*axes)

    def convolution(rank: int) -> Any:
        def apply(x: Any, f: Any, b: Any = None, stride: Any = 1, pad: Any = 0, dilation: Any = 1,
                  groups: Any = 1) -> Any:  # fmt: skip
            plain = x.ndim == rank
            if plain:
                x, f = x[None, None], f[None, None]
            y = lax.conv_general_dilated(
                x, f, pair(stride, rank), [(p, p) for p in pair(pad, rank)],
                rhs_dilation=pair(dilation, rank), feature_group_count=groups,
            )  # fmt: skip
            if b is not None:
                y = y + b.reshape(-1, *(1,) * rank)
            return y[0, 0] if plain else y

        return apply

    def conv_transpose2d(x: Any, f: Any, b: Any, stride: int = 1, pad: int = 0) -> Any:
        reach = (f.shape[2] - 1 - pad, f.shape[3] - 1 - pad)
        y = lax.conv_transpose(
            x, f, pair(stride), [(r, r) for r in reach], transpose_kernel=True,
            dimension_numbers=("NCHW", "OIHW", "NCHW"),
        )  # fmt: skip
        return y + b[:, None, None]

    def pooled(start: Any, operation: Any) -> Any:
        def apply(x: Any, size: Any = 2, stride: Any = None, pad: Any = 0) -> Any:
            window, strides = pair(size), pair(size if stride is None else stride)
            pads = [(0, 0), (0, 0), *((p, p) for p in pair(pad))]
            return lax.reduce_window(x, start, operation, (1, 1, *window), (1, 1, *strides), pads)

        return apply

    def average(x: Any, size: int = 2, stride: Any = None) -> Any:
        return pooled(0.0, lax.add)(x, size, stride) / size**2

    def upsampled(x: Any, scale: int) -> Any:
        n, c, h, w = x.shape
        return jax().image.resize(x, (n, c, h * scale, w * scale), "nearest")

    def im2col(x: Any, size: tuple[int, int]) -> Any:
        rows = lax.conv_general_dilated_patches(x, size, (1, 1), "VALID")
        return jnp.moveaxis(rows, 1, -1).reshape(-1, rows.shape[1])

    same = {name: getattr(jnp, name) for name in (
        "exp", "log", "sqrt", "abs", "sin", "cos", "tanh", "maximum", "minimum", "log1p", "sign",
        "clip", "outer", "sum", "mean", "max", "min", "var", "where", "arange", "eye", "einsum",
        "concatenate", "trace",
    )}  # fmt: skip
    return {
        **same,
        "put": lambda x, index, value: x.at[index].set(value),
        "zeros": jnp.zeros,
        "erf": lax.erf,
        "sigmoid": nn.sigmoid,
        "relu": nn.relu,
        "softplus": nn.softplus,
        "softmax": nn.softmax,
        "log_softmax": nn.log_softmax,
        "logsumexp": nn.logsumexp,
        "logcosh": lambda x: jnp.log(jnp.cosh(x)),
        "norm": lambda x, axis=None, keepdims=False: jnp.sqrt(
            jnp.sum(x**2, axis=axis, keepdims=keepdims)
        ),
        "onehot": lambda y, classes: nn.one_hot(y, classes, dtype=float),
        "reshape": reshape,
        "transpose": transpose,
        "inv": jnp.linalg.inv,
        "det": jnp.linalg.det,
        "logdet": lambda a: jnp.linalg.slogdet(a)[1],
        "solve": jnp.linalg.solve,
        "cholesky": jnp.linalg.cholesky,
        "conv1d": convolution(1),
        "conv2d": convolution(2),
        "conv_transpose2d": conv_transpose2d,
        "max_pool2d": pooled(-jnp.inf, lax.max),
        "avg_pool2d": average,
        "global_avg_pool": lambda x: x.mean(axis=(2, 3)),
        "upsample_nearest": upsampled,
        "im2col": im2col,
    }


def conv3d(scope: Mapping[str, Any]) -> Any:
    """The layer that the spec writes in index notation."""
    y = jax().lax.conv_general_dilated(scope["X"], scope["F"], (1, 1, 1), "VALID")
    return y + scope["b"][:, None, None, None]
