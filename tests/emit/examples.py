"""Layers that the tests of the printers share."""

from __future__ import annotations

from functools import cache

from gradtool.derive.derivation import Derivation, derive
from gradtool.ops.registry import vocabulary
from gradtool.spec.errors import SpecError
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text
from gradtool.spec.model import LayerSpec

SPECS = {
    "affine": """
layer: affine
inputs: {X: [N, D]}
parameters: {W: [D, C], b: [C]}
forward: Y = X @ W + b
""",
    "softmax_ce": """
layer: softmax_ce
inputs: {S: [N, C], y: {shape: [N], index: C}}
forward: |
  P = softmax(S)
  L = -log(P[arange(N), y]).sum() / N
""",
    # A row for each label beside another axis of the same size.
    "chosen_rows": """
layer: chosen_rows
inputs: {x: [D], y: {shape: [D], index: D}}
parameters: {W: [D, D], U: [D, D]}
forward: |
  z = x @ W
  Y = maximum(z[y], U)
""",
    # Windows over one axis, several of them, beside an axis of size one.
    "column_of_windows": """
layer: column_of_windows
inputs: {h: [S]}
sizes: {S: ">=6"}
forward: |
  Y = max_pool2d(h[:, None], size=(2, 1))
""",
    "batch_norm": """
layer: batch_norm
inputs: {X: [N, D]}
parameters: {gamma: [D], beta: [D]}
constants: {eps: 1e-5}
forward: |
  mu = X.mean(axis=0)
  std = sqrt(((X - mu)**2).mean(axis=0) + eps)
  xhat = (X - mu) / std
  Y = gamma * xhat + beta
""",
    "batch_norm_images": """
layer: batch_norm_images
inputs: {X: [N, C, H, W]}
parameters: {gamma: [C]}
constants: {eps: 1e-5}
forward: |
  mu = X.mean(axis=(0, 2, 3), keepdims=True)
  std = sqrt(((X - mu)**2).mean(axis=(0, 2, 3), keepdims=True) + eps)
  xhat = (X - mu) / std
  Y = gamma[:, None, None] * xhat
""",
    "layer_norm": """
layer: layer_norm
inputs: {X: [N, D]}
parameters: {g: [D], b: [D]}
constants: {eps: 1e-5}
forward: |
  Y = g * (X - X.mean(axis=1, keepdims=True)) / sqrt(X.var(axis=1, keepdims=True) + eps) + b
""",
    "conv": """
layer: conv
inputs: {X: [N, C, H, W]}
parameters: {F: [K, C, R, S], b: [K]}
forward: |
  Y[n, f, i, j] = sum(X[n, c, i + p, j + q] * F[f, c, p, q], over=[c, p, q]) + b[f]
""",
    "two_layer": """
layer: two_layer
inputs: {X: [N, D]}
parameters: {W1: [D, H], b1: [H], W2: [H, C], b2: [C]}
forward: S = relu(X @ W1 + b1) @ W2 + b2
""",
    "attention": """
layer: attention
inputs: {Q: [M, E], K: [T, E], V: [T, F]}
forward: |
  S = Q @ K.T / sqrt(E)
  P = softmax(S)
  O = P @ V
""",
    "row_max": """
layer: row_max
inputs: {X: [N, D]}
forward: m = max(relu(X) @ X.T, axis=1)
""",
    "heads": """
layer: heads
inputs: {X: [N, H, D], g: [D]}
parameters: {W: [H*D, C]}
forward: Y = (X**2 * g).reshape(N, H*D) @ W
""",
    "clashing": """
layer: clashing
inputs: {X: [N, N], n: [N]}
constants: {k: 3}
forward: Y = k * (X @ X.T) * n
""",
}
_WORDS = {
    f"word{number}": f"""
layer: word{number}
inputs:
  X: [N, D]
  Z: [N, D]
  Q: {{shape: [N, D], domain: positive}}
  T3: [M, N, D]
  b: [D]
  y: {{shape: [N], index: D}}
forward: {line!r}
"""
    for number, line in enumerate(
        sorted({line for word in vocabulary().values() for line in getattr(word, "examples", ())})
    )
}


def _lowered(text: str) -> bool:
    """Whether the shapes of a spec fit together."""
    try:
        graph_of(load_text(text, "word.yaml"))
    except SpecError:
        return False
    return True


# An example that needs other shapes than these is no layer to print; a test states how few.
OTHER_SHAPES = frozenset(name for name, text in _WORDS.items() if not _lowered(text))
SPECS |= {name: text for name, text in _WORDS.items() if name not in OTHER_SHAPES}


@cache
def example(name: str, staged: bool = False) -> tuple[LayerSpec, Derivation]:
    """A spec and its derivation."""
    spec = load_text(SPECS[name], f"{name}.yaml")
    return spec, derive(graph_of(spec), staged=staged)
