"""What somebody who knows NumPy well writes: products by BLAS, few temporaries, work in place.

Each layer is a forward pass that keeps what its backward pass needs, and that backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tests.benchmarks.layers.case import Array

Backward = Callable[[Any], tuple[Array, ...]]


def affine(X: Array, W: Array, b: Array) -> tuple[Array, Backward]:
    def backward(dY: Array) -> tuple[Array, ...]:
        return dY @ W.T, X.T @ dY, dY.sum(axis=0)

    return X @ W + b, backward


def batch_norm(X: Array, gamma: Array, beta: Array) -> tuple[Array, Backward]:
    n = len(X)
    xhat = X - X.mean(axis=0)
    std = np.sqrt((xhat * xhat).mean(axis=0) + 1e-5)
    xhat /= std

    def backward(dY: Array) -> tuple[Array, ...]:
        dgamma = np.einsum("nd,nd->d", dY, xhat)
        dbeta = dY.sum(axis=0)
        dX = xhat * (dgamma / -n)
        dX += dY
        dX -= dbeta / n
        dX *= gamma / std
        return dX, dgamma, dbeta

    return gamma * xhat + beta, backward


def layer_norm(X: Array, gamma: Array, beta: Array) -> tuple[Array, Backward]:
    d = X.shape[-1]
    xhat = X - X.mean(axis=-1, keepdims=True)
    std = np.sqrt(np.einsum("btd,btd->bt", xhat, xhat)[..., None] / d + 1e-5)
    xhat /= std

    def backward(dY: Array) -> tuple[Array, ...]:
        dgamma = np.einsum("btd,btd->d", dY, xhat)
        dbeta = dY.sum(axis=(0, 1))
        dX = dY * gamma
        along = np.einsum("btd,btd->bt", dX, xhat)[..., None] / d
        dX -= dX.mean(axis=-1, keepdims=True)
        dX -= xhat * along
        dX /= std
        return dX, dgamma, dbeta

    return gamma * xhat + beta, backward


def softmax_ce(S: Array, y: Array) -> tuple[Array, Backward]:
    n = len(S)
    P = np.exp(S - S.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    rows = np.arange(n)

    def backward(dL: float) -> tuple[Array, ...]:
        dS = P * (dL / n)
        dS[rows, y] -= dL / n
        return (dS,)

    return -np.log(P[rows, y]).mean(), backward


def conv2d(X: Array, F: Array, b: Array, *, stride: int, pad: int) -> tuple[Array, Backward]:
    """By im2col: the windows are copied once, in the forward pass, and kept for the backward."""
    n, c, height, width = X.shape
    k, _, r, s = F.shape
    padded = np.pad(X, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(padded, (r, s), (2, 3))[:, :, ::stride, ::stride]
    rows, columns = windows.shape[2:4]
    patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * rows * columns, c * r * s)
    filters = F.reshape(k, -1)
    Y = (patches @ filters.T + b).reshape(n, rows, columns, k).transpose(0, 3, 1, 2)

    def backward(dY: Array) -> tuple[Array, ...]:
        flat = dY.transpose(0, 2, 3, 1).reshape(-1, k)
        dF = (flat.T @ patches).reshape(F.shape)
        dpatches = (flat @ filters).reshape(n, rows, columns, c, r, s).transpose(0, 3, 4, 5, 1, 2)
        dpadded = np.zeros_like(padded)
        for i in range(r):
            for j in range(s):
                place = dpadded[
                    :, :, i : i + stride * rows : stride, j : j + stride * columns : stride
                ]
                place += dpatches[:, :, i, j]
        return dpadded[:, :, pad : pad + height, pad : pad + width], dF, dY.sum(axis=(0, 2, 3))

    return Y, backward


def attention(Q: Array, K: Array, V: Array) -> tuple[Array, Backward]:
    scale = 1 / float(np.sqrt(Q.shape[-1]))
    P = Q @ K.transpose(0, 2, 1)
    P *= scale
    P -= P.max(axis=-1, keepdims=True)
    np.exp(P, out=P)
    P /= P.sum(axis=-1, keepdims=True)

    def backward(dO: Array) -> tuple[Array, ...]:
        dV = P.transpose(0, 2, 1) @ dO
        dS = dO @ V.transpose(0, 2, 1)
        dS -= np.einsum("amt,amt->am", dS, P)[..., None]
        dS *= P
        dS *= scale
        return dS @ K, dS.transpose(0, 2, 1) @ Q, dV

    return P @ V, backward


def max_pool(X: Array, *, size: int, stride: int) -> tuple[Array, Backward]:
    """Windows that do not overlap: the array in blocks, and a mask of the largest entries."""
    n, c, height, width = X.shape
    blocks = X.reshape(n, c, height // stride, size, width // stride, size)
    Y = blocks.max(axis=(3, 5))
    largest = blocks == Y[:, :, :, None, :, None]

    def backward(dY: Array) -> tuple[Array, ...]:
        return ((largest * dY[:, :, :, None, :, None]).reshape(X.shape),)

    return Y, backward


LAYERS: Mapping[str, Callable[..., tuple[Array, Backward]]] = {
    "affine": affine,
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "softmax_ce": softmax_ce,
    "conv2d": conv2d,
    "attention": attention,
    "max_pool": max_pool,
}
