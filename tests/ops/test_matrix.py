"""Matrix functions have NumPy's values in both precisions, and certified gradients, batched too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradtool.derive.derivation import derive
from gradtool.emit.text import text
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Graph
from gradtool.numeric.arithmetic import Double, HighPrecision
from gradtool.numeric.certify import certify
from gradtool.numeric.grid import run
from gradtool.numeric.sample import setting_for
from gradtool.ops.matrix import RULES
from gradtool.spec.errors import SpecError
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text
from gradtool.spec.model import LayerSpec

rng = np.random.default_rng(3)
A = rng.standard_normal((2, 3, 3))
POSITIVE = A @ A.swapaxes(1, 2) + np.eye(3)
B = rng.standard_normal((2, 3, 2))

VALUES = {
    "inv(A)": np.linalg.inv(A),
    "det(A)": np.linalg.det(A),
    "logdet(A)": np.log(np.abs(np.linalg.det(A))),
    "cholesky(P)": np.linalg.cholesky(POSITIVE),
    "solve(A, B)": np.linalg.solve(A, B),
    "inv(A[0]) @ B[1]": np.linalg.inv(A[0]) @ B[1],
    "solve(A[1], B[0, :, 1])": np.linalg.solve(A[1], B[0, :, 1]),
    "logdet(P[0]) + det(P[1])": np.linalg.slogdet(POSITIVE[0])[1] + np.linalg.det(POSITIVE[1]),
}


def lowered(line: str, declared: str) -> tuple[LayerSpec, Graph]:
    spec = load_text(f"layer: t\ninputs: {{{declared}}}\nforward: |\n  Y = {line}\n", "t")
    return spec, graph_of(spec)


@pytest.mark.parametrize("line", VALUES)
def test_values_are_those_of_numpy(line: str) -> None:
    _, graph = lowered(line, "A: [2, 3, 3], P: [2, 3, 3], B: [2, 3, 2]")
    values: dict[str, Any] = {"A": A, "P": POSITIVE, "B": B}
    known = run(graph.statements, values, setting_for(graph, {}, Double()))
    np.testing.assert_allclose(known["Y"], VALUES[line], rtol=1e-12)
    precise = HighPrecision(40)
    exact = {k: np.frompyfunc(precise.mp.mpf, 1, 1)(v) for k, v in values.items()}
    known = run(graph.statements, exact, setting_for(graph, {}, precise))
    np.testing.assert_allclose(known["Y"].astype(float), VALUES[line], rtol=1e-12)


@pytest.mark.parametrize(
    ("line", "declared"),
    [
        ("inv(A)", "A: [B, N, N]"),
        ("det(A)", "A: [B, N, N]"),
        ("logdet(A) * inv(A)", "A: [N, N]"),
        ("cholesky(A)", "A: {shape: [B, N, N], domain: positive-definite}"),
        ("cholesky(A) @ inv(A)", "A: {shape: [N, N], domain: positive-definite}"),
        ("solve(A, X)", "A: [N, N], X: [N, M]"),
        ("solve(A.T, X) + det(A.T)", "A: [N, N], X: [N, M]"),
        ("solve(A, solve(A, x))", "A: [N, N], x: [N]"),
        ("logdet(X.T @ X + eye(D))", "X: [N, D]"),
        ("x @ inv(cholesky(X @ X.T + eye(N)))", "x: [N], X: [N, D]"),
    ],
)
def test_gradients_hold_to_30_digits(line: str, declared: str) -> None:
    spec, graph = lowered(line, declared)
    assert certify(spec, graph, derive(graph)).digits >= 30


def test_solve_is_shown_as_solve() -> None:
    _, graph = lowered("solve(A, X)", "A: [N, N], X: [N, M]")
    assert text(graph.statements[-1].tree) == "solve(A, X)"


def test_the_symmetric_part_counts_for_cholesky() -> None:
    _, graph = lowered("cholesky(A)", "A: [3, 3]")
    lopsided = POSITIVE[0] + np.triu(np.ones((3, 3)), 1) - np.tril(np.ones((3, 3)), -1)
    known = run(graph.statements, {"A": lopsided}, setting_for(graph, {}, Double()))
    np.testing.assert_allclose(known["Y"], np.linalg.cholesky(POSITIVE[0]))


def test_a_matrix_without_a_cholesky_factor_is_refused_with_the_remedy() -> None:
    precise = HighPrecision(40)
    _, graph = lowered("cholesky(A)", "A: [3, 3]")
    negative = np.frompyfunc(precise.mp.mpf, 1, 1)(-POSITIVE[0])
    with pytest.raises(UnsupportedError, match="not positive definite"):
        run(graph.statements, {"A": negative}, setting_for(graph, {}, precise))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("inv(X)", "inv needs square matrices, found the shape (N, D)"),
        ("logdet(x)", "logdet needs square matrices, found the shape (N,)"),
        ("cholesky(X)", "cholesky needs square matrices"),
        ("solve(X, X)", "solve needs square matrices"),
        ("solve(X.T @ X, X)", "inner dimensions D and N differ"),
    ],
)
def test_wrong_shapes_are_named(line: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        lowered(line, "X: [N, D], x: [N]")
    assert said in str(caught.value)


def test_every_rule_names_its_source() -> None:
    assert all(rule.source.split()[0] in ("Giles", "Murray") for rule in RULES.values())
