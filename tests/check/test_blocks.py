"""Code that works block by block is right or wrong where there are several blocks.

The work of these layers grows with a square or a cube of an axis: it is long beside small ones.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.result import Verdict
from tests.layers import bundled, verdict_on

CAUSAL = """
import numpy as np
def attention_causal_forward(Q, K, V):
    T, E = Q.shape
    S = Q @ K.T / np.sqrt(E)
    S = np.where(np.tril(np.ones((T, T))) > 0, S, -1e9)
    P = np.exp(S - S.max(1, keepdims=True))
    P /= P.sum(1, keepdims=True)
    return P @ V, (Q, K, V, P)
def attention_causal_backward(dO, cache):
    Q, K, V, P = cache
    T, E = Q.shape
    dQ, dK, dV = np.zeros_like(Q), np.zeros_like(K), np.zeros_like(V)
    for i in range(0, T, BLOCK):
        b = slice(i, i + BLOCK)
        dP = dO[b] @ V.T
        dS = P[b] * (dP - (dP * P[b]).sum(1, keepdims=True)) / np.sqrt(E)
        dQ[b] = dS @ K
        ADD
    return dQ, dK, dV
"""
WHOLE = "dK += dS.T @ Q[b]; dV += P[b].T @ dO[b]"
LAST = "dK = dS.T @ Q[b]; dV += P[b].T @ dO[b]"
DIAGONAL = "dK[b] = (dS.T @ Q[b])[b]; dV += P[b].T @ dO[b]"

SOLVE = """
import numpy as np
def linear_solve_forward(A, B):
    X = np.linalg.solve(A, B)
    return X, (A, X)
def linear_solve_backward(dX, cache):
    A, X = cache
    dB = np.linalg.solve(A.T, dX)
    dA = np.zeros_like(A)
    for i in range(0, len(A), 8):
        for j in range(0, len(A), 8):
            WRITE
    return dA, dB
"""
TILE = "dA[i:i + 8, j:j + 8] = -dB[i:i + 8] @ X[j:j + 8].T"
FIRST = "dA[i:i + 8, :8] -= dB[i:i + 8] @ X[:8].T if j == 0 else 0"


def judged(layer: str, code: str, folder: Path) -> Verdict:
    return verdict_on(bundled(layer), folder, code)


@pytest.mark.parametrize("block", [8, 16, 32, 64])
def test_blocks_of_queries(tmp_path: Path, block: int) -> None:
    code = CAUSAL.replace("BLOCK", str(block))
    assert judged("attention_causal", code.replace("ADD", WHOLE), tmp_path).verdict == "pass"
    for wrong in (LAST, DIAGONAL):
        verdict = judged("attention_causal", code.replace("ADD", wrong), tmp_path)
        assert verdict.verdict == "fail"
        assert [g.standing for g in verdict.gradients] == ["ok", "wrong", "ok"]


def test_tiles_of_a_matrix(tmp_path: Path) -> None:
    assert judged("linear_solve", SOLVE.replace("WRITE", TILE), tmp_path).verdict == "pass"
    assert judged("linear_solve", SOLVE.replace("WRITE", FIRST), tmp_path).verdict == "fail"


@pytest.mark.parametrize(
    "name",
    [
        "attention_causal", "cholesky", "clip_loss", "determinant", "gru", "info_nce", "inverse",
        "linear_solve", "lstm", "multi_head_attention", "transformer_block",
    ],
)  # fmt: skip
def test_every_axis_is_longer_than_a_block_somewhere(name: str) -> None:
    settings = bundled(name).settings()
    for axis in settings[0].sizes:
        long = [s for s in settings if s.sizes[axis] > 32]
        assert long, axis
        # Behind a norm of one feature all is zero: axes beside one that could not be longer.
        beside = {n for s in long for other, n in s.sizes.items() if other != axis}
        assert 1 not in beside or max(s.sizes[axis] for s in long) >= 200, axis
    assert all(s.work <= 120_000 for s in settings)
