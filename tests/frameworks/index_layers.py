"""Layers that only index notation can write: what the emitters gather and sum themselves."""

from __future__ import annotations

INDEX_LAYERS = {
    # Of two plain numbers a comparison is Python's, and ~True is -2.
    "negated_constant": """
inputs: {u: [], t: [N]}
constants: {lam: 1e-5}
forward: |
  Y = u * ((~(t < u)) | (lam < 0.3))
""",
    "strided": """
inputs: {X: [N, C, H]}
parameters: {F: [K, C, R]}
constants: {stride: 2}
forward: |
  Y[n, k, i] = sum(X[n, c, stride*i + p] * F[k, c, p], over=[c, p])
""",
    "function_of_entries": """
inputs: {X: [N, H]}
parameters: {F: [R]}
forward: |
  Y[n, i] = sum(exp(F[p] * X[n, i + p]) / (1 + X[n, i + p]**2), over=[p])
""",
    "backwards": """
inputs: {X: [N, H], Z: [H]}
forward: |
  Y[n, i] = X[n, H - 1 - i] * Z[i] + 2 * X[n, i]
""",
    "labels": """
inputs: {X: [N, C], y: {shape: [N], index: C}}
forward: |
  Y[n, c] = X[n, y[n]] * X[n, c] + sum(X[n, d] * X[n, d], over=[d])
""",
    "largest": """
inputs: {X: [N, H]}
forward: |
  Y[n, i] = max(X[n, 2*i + p], over=[p < 2])
""",
    "condition": """
inputs: {X: [N, D], Z: [N, D]}
forward: |
  Y[n, d] = where(X[n, d] > Z[n, d], X[n, d] * Z[n, d], Z[n, d])
""",
    "diagonal": """
inputs: {A: [N, N], b: [N]}
forward: |
  Y[i] = A[i, i] * b[i] + sum(A[i, j] * A[j, i], over=[j])
""",
    "numbers": """
inputs: {X: [N, D]}
constants: {a: 0.3}
forward: |
  Y[n, d] = a * n * X[n, d] / sqrt(D) + d - pi
""",
}  # fmt: skip
