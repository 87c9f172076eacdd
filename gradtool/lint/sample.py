"""A submission of our own, for `rehearsal`; the answer to no assignment."""

from __future__ import annotations

import numpy as np

FORWARD = "Y, cache = halved_forward(X, k)"
BACKWARD = "dX, dk = halved_backward(dY, cache)"


def halved_forward(x: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    y = np.maximum(x, 0.25) / 2 + k
    return y, (x, k)


def halved_backward(dy: np.ndarray, cache: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    x, k = cache
    return dy * (x > 0.25) / 2, dy.sum(axis=0).reshape(k.shape)
