"""Expressions become NumPy that computes the same where the two languages differ.

A comparison counts as a number in the spec language; NumPy adds comparisons to a logical "or",
refuses to subtract them, and widens float32 beside integers.
"""

from __future__ import annotations

import numpy as np
import pytest

from gradtool.numeric.reference import reference_for
from gradtool.spec.load import load_text

HEAD = "layer: l\ninputs: {X: [N, D], Z: [N, D], y: {shape: [N], index: D}}\nforward: |\n  "


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("X**2 + (X - 1)**2", "Y = X**2 + (X - 1) ** 2"),
        ("X[:, 1:]", "Y = X[:, 1:]"),
        ("X[:, :D - 1] / sqrt(D)", "Y = X[:, : D - 1] / math.sqrt(D)"),
        ("relu(X) @ Z.T", "Y = np.maximum(X, 0) @ Z.T"),
        ("einsum('nd,md->nm', X, Z)", "Y = X @ Z.T"),
        ("softmax(X)", "Y = _softmax(X, axis=1)"),
        ("X[arange(N), y]", "Y = X[np.arange(N), y]"),
        ("X * arange(D)", "Y = X * np.arange(D, dtype=dtype)"),
        ("X * (1 - (Z > 0))", "Y = X * ~(Z > 0)"),
    ],
)
def test_the_text_is_what_a_person_would_write(line: str, expected: str) -> None:
    reference = reference_for(load_text(f"{HEAD}Y = {line}\n", "l.yaml"))
    assert expected in {row.strip() for row in reference.compiled.text.split("\n")}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("X * (1 * (X > 0) + (Z > 0))", lambda x, z: x * ((x > 0) * 1 + (z > 0) * 1)),
        ("X * ((X > 0) - 1 * (Z > 0))", lambda x, z: x * ((x > 0) * 1 - (z > 0) * 1)),
        ("X * (-1 * (Z > 0))", lambda x, z: -x * (z > 0)),
        ("(1 * (X > 0)) @ (Z > 0).T + 0", lambda x, z: (x > 0) * 1.0 @ (z > 0).T),
        ("(X > 0).sum(axis=1) * 1", lambda x, z: (x > 0).sum(axis=1)),
        ("where(X > 0, 1, 0.1) * 1", lambda x, z: np.where(x > 0, 1, 0.1)),
    ],
)
def test_comparisons_count_as_numbers_and_float32_stays(line: str, expected: object) -> None:
    reference = reference_for(load_text(f"{HEAD}Y = {line}\n", "l.yaml"))
    rng = np.random.default_rng(0)
    x, z = (rng.standard_normal((3, 4)).astype(np.float32) for _ in range(2))
    y, _ = reference.compiled.forward(x, z, np.array([0, 3, 1]))
    assert callable(expected)
    np.testing.assert_allclose(y, expected(x, z), rtol=1e-6)
    assert y.dtype == np.float32
