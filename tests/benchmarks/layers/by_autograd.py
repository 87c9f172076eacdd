"""The forward passes for HIPS autograd, in the words that its documentation uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import autograd.numpy as np
from autograd import make_vjp

Layer = Callable[..., Any]


def backward_of(
    case: str, values: list[Any], differentiable: int, constants: Mapping[str, int]
) -> Callable[[Any], Any]:
    """The function from the upstream gradient to the gradients, the forward pass done."""

    def forward(real: tuple[Any, ...]) -> Any:
        return LAYERS[case](*real, *values[differentiable:], **constants)

    vjp: Callable[[Any], Any]
    vjp, _ = make_vjp(forward)(tuple(values[:differentiable]))
    return vjp


def _affine(X: Any, W: Any, b: Any) -> Any:
    return X @ W + b


def _norm(axis: int) -> Layer:
    def forward(X: Any, gamma: Any, beta: Any) -> Any:
        centred = X - np.mean(X, axis=axis, keepdims=True)
        variance = np.mean(centred**2, axis=axis, keepdims=True)
        return gamma * (centred / np.sqrt(variance + 1e-5)) + beta

    return forward


def _softmax(S: Any) -> Any:
    exponentials = np.exp(S - np.max(S, axis=-1, keepdims=True))
    return exponentials / np.sum(exponentials, axis=-1, keepdims=True)


def _softmax_ce(S: Any, y: Any) -> Any:
    return -np.mean(np.log(_softmax(S)[np.arange(len(y)), y]))


def _conv2d(X: Any, F: Any, b: Any, *, stride: int, pad: int) -> Any:
    from autograd.scipy.signal import convolve

    if stride != 1:
        raise NotImplementedError("autograd's convolution has no stride")
    padded = np.pad(X, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="constant")
    flipped = F[:, :, ::-1, ::-1]  # it convolves, where networks correlate
    product = convolve(padded, flipped, axes=([2, 3], [2, 3]), dot_axes=([1], [1]), mode="valid")
    return product + b[:, None, None]


def _attention(Q: Any, K: Any, V: Any) -> Any:
    return _softmax(Q @ np.swapaxes(K, 1, 2) / np.sqrt(Q.shape[-1]).item()) @ V


def _max_pool(X: Any, *, size: int, stride: int) -> Any:
    n, c, height, width = X.shape
    return np.max(X.reshape(n, c, height // stride, size, width // stride, size), axis=(3, 5))


def _sigmoid(X: Any) -> Any:
    return 1 / (1 + np.exp(-X))


def _lstm(X: Any, h0: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    size = h0.shape[1]
    h, c, steps = h0, np.zeros_like(h0), []
    for t in range(X.shape[1]):
        a = X[:, t] @ Wx + h @ Wh + b
        i, f, o = (_sigmoid(a[:, k * size : (k + 1) * size]) for k in range(3))
        c = f * c + i * np.tanh(a[:, 3 * size :])
        h = o * np.tanh(c)
        steps.append(h)
    return np.stack(steps, axis=1)


LAYERS: Mapping[str, Layer] = {
    "affine": _affine,
    "batch_norm": _norm(0),
    "layer_norm": _norm(-1),
    "softmax_ce": _softmax_ce,
    "conv2d": _conv2d,
    "attention": _attention,
    "max_pool": _max_pool,
    "lstm": _lstm,
}
