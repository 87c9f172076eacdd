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
    """By im2col, image by image: the windows are copied once and kept for the backward pass.

    The gradient of the images is added place by place of the filter, one small product each, so
    that no array of all windows is needed.
    """
    n, c, height, width = X.shape
    k, _, r, s = F.shape
    padded = np.pad(X, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(padded, (r, s), (2, 3))[:, :, ::stride, ::stride]
    rows, columns = windows.shape[2:4]
    patches = windows.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * r * s, rows * columns)
    Y = (F.reshape(k, -1) @ patches).reshape(n, k, rows, columns) + b[:, None, None]

    def backward(dY: Array) -> tuple[Array, ...]:
        flat = dY.reshape(n, k, -1)
        dF = (flat @ patches.transpose(0, 2, 1)).sum(axis=0).reshape(F.shape)
        dpadded = np.zeros_like(padded)
        for i in range(r):
            for j in range(s):
                place = dpadded[
                    :, :, i : i + stride * rows : stride, j : j + stride * columns : stride
                ]
                place += (F[:, :, i, j].T @ flat).reshape(n, c, rows, columns)
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
    """The place of the winner of every window is kept; windows do not overlap here."""
    n, c, height, width = X.shape
    rows, columns = height // stride, width // stride
    blocks = X.reshape(n, c, rows, size, columns, size).transpose(0, 1, 2, 4, 3, 5)
    best = blocks.reshape(n, c, rows, columns, size * size).argmax(axis=-1)
    down, right = np.divmod(best, size)
    i, j = np.ogrid[:rows, :columns]
    images = np.arange(n * c).reshape(n, c, 1, 1)
    winners = ((images * height + i * stride + down) * width + j * stride + right).ravel()
    Y = X.ravel()[winners].reshape(best.shape)

    def backward(dY: Array) -> tuple[Array, ...]:
        dX = np.zeros(X.size, dY.dtype)
        dX[winners] = dY.ravel()
        return (dX.reshape(X.shape),)

    return Y, backward


def lstm(X: Array, h0: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Backward]:
    """Time first in what is kept; one product for all steps where the recurrence allows it."""
    n, steps, d = X.shape
    size = h0.shape[1]
    inputs = np.ascontiguousarray(X.transpose(1, 0, 2)).reshape(steps * n, d)
    gates = (inputs @ Wx + b).reshape(steps, n, 4 * size)
    hs = np.empty((steps + 1, n, size), X.dtype)
    cs = np.zeros((steps + 1, n, size), X.dtype)
    tanh_c = np.empty((steps, n, size), X.dtype)
    hs[0] = h0
    for t in range(steps):
        a = gates[t]
        a += hs[t] @ Wh
        sigmoids, g = a[:, : 3 * size], a[:, 3 * size :]
        sigmoids[...] = 1 / (1 + np.exp(-sigmoids))
        np.tanh(g, out=g)
        i, f, o = np.split(sigmoids, 3, axis=1)
        cs[t + 1] = f * cs[t] + i * g
        np.tanh(cs[t + 1], out=tanh_c[t])
        np.multiply(o, tanh_c[t], out=hs[t + 1])

    def backward(dY: Array) -> tuple[Array, ...]:
        da = np.empty_like(gates)
        dh = np.zeros((n, size), X.dtype)
        dc = np.zeros((n, size), X.dtype)
        for t in reversed(range(steps)):
            i, f, o, g = np.split(gates[t], 4, axis=1)
            di, df, do, dg = np.split(da[t], 4, axis=1)
            dh += dY[:, t]
            np.multiply(dh, tanh_c[t], out=do)
            do *= o * (1 - o)
            dh *= o
            dh *= 1 - tanh_c[t] ** 2
            dc += dh
            np.multiply(dc, g, out=di)
            di *= i * (1 - i)
            np.multiply(dc, cs[t], out=df)
            df *= f * (1 - f)
            np.multiply(dc, i, out=dg)
            dg *= 1 - g**2
            dc *= f
            dh = da[t] @ Wh.T
        flat = da.reshape(steps * n, -1)
        dX = (flat @ Wx.T).reshape(steps, n, d).transpose(1, 0, 2)
        dWh = hs[:-1].reshape(steps * n, -1).T @ flat
        return dX, dh, inputs.T @ flat, dWh, flat.sum(axis=0)

    return hs[1:].transpose(1, 0, 2), backward


LAYERS: Mapping[str, Callable[..., tuple[Array, Backward]]] = {
    "affine": affine,
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "softmax_ce": softmax_ce,
    "conv2d": conv2d,
    "attention": attention,
    "max_pool": max_pool,
    "lstm": lstm,
}
