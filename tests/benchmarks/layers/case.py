"""The layers whose backward pass is timed: their spec, their sizes, and what is drawn for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradtool.records import Struct, field

Array = np.ndarray[Any, Any]


class Case(Struct, frozen=True):
    """A layer at one size.

    Attributes:
        spec: a bundled name, or the text of a spec.
        shapes: of the real inputs and parameters, in the order of the spec.
        labels: integer inputs after them: shape and number of classes.
        constants: keywords of the layer.
        title: for the table.
        scale: of what is drawn.
    """

    title: str
    spec: str
    shapes: Mapping[str, tuple[int, ...]]
    labels: Mapping[str, tuple[tuple[int, ...], int]] = field(default_factory=dict)
    constants: Mapping[str, int] = field(default_factory=dict)
    scale: float = 1.0

    def draw(self, dtype: str) -> list[Array]:
        """Values of the inputs, the same at every call."""
        rng = np.random.default_rng(0)
        drawn = (rng.standard_normal(shape) for shape in self.shapes.values())
        real = [(self.scale * values).astype(dtype) for values in drawn]
        return real + [rng.integers(0, n, shape) for shape, n in self.labels.values()]


_LAYER_NORM = """
layer: layer_norm_sequence
inputs: {X: [B, T, D]}
parameters: {gamma: [D], beta: [D]}
constants: {eps: 1e-5}
forward: |
  mu = X.mean(axis=-1, keepdims=True)
  var = ((X - mu)**2).mean(axis=-1, keepdims=True)
  std = sqrt(var + eps)
  xhat = (X - mu) / std
  Y = gamma * xhat + beta
"""
_ATTENTION = """
layer: attention_heads
inputs: {Q: [A, M, E], K: [A, T, E], V: [A, T, F]}
forward: |
  S = Q @ K.transpose(0, 2, 1) / sqrt(E)
  P = softmax(S)
  O = P @ V
"""
_NORM_SIZES = {"gamma": (512,), "beta": (512,)}

CASES: Mapping[str, Case] = {
    "affine": Case(
        "affine 256×1024×1024",
        "affine",
        {"X": (256, 1024), "W": (1024, 1024), "b": (1024,)},
    ),
    "batch_norm": Case(
        "batch norm 256×1024",
        "batch_norm",
        {"X": (256, 1024), "gamma": (1024,), "beta": (1024,)},
    ),
    "layer_norm": Case("layer norm 64×128×512", _LAYER_NORM, {"X": (64, 128, 512), **_NORM_SIZES}),
    "softmax_ce": Case(
        "softmax cross-entropy 512×10000",
        "softmax_cross_entropy",
        {"S": (512, 10000)},
        {"y": ((512,), 10000)},
    ),
    "conv2d": Case(
        "conv2d 32×16×32×32, 32 filters 3×3",
        "conv2d",
        {"X": (32, 16, 32, 32), "F": (32, 16, 3, 3), "b": (32,)},
        constants={"stride": 1, "pad": 1},
    ),
    "attention": Case(
        "attention 8 heads × 256 × 64",
        _ATTENTION,
        {"Q": (8, 256, 64), "K": (8, 256, 64), "V": (8, 256, 64)},
    ),
    "max_pool": Case(
        "max pool 2×2 of 32×32×32×32",
        "max_pool2d",
        {"X": (32, 32, 32, 32)},
        constants={"size": 2, "stride": 2},
    ),
    "lstm": Case(
        "LSTM 32 steps, 64×256, state 256",
        "lstm",
        {"X": (64, 32, 256), "h0": (64, 256), "Wx": (256, 1024), "Wh": (256, 1024), "b": (1024,)},
        scale=1 / 16,
    ),
}
