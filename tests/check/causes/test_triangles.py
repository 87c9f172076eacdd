"""The gradient by one triangle of a symmetric matrix is told as such.

What it is the right gradient of is asked of the judge: of the forward pass that reads one triangle
and mirrors it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.result import Verdict
from tests.layers import bundled, verdict_on, written

BODY = """
parameters:
  A: {shape: [N, N], domain: positive-definite}
forward: |
  S = READ
  L = cholesky(S)"""
LOWER = ("cholesky", BODY.replace("READ", "tril(A) + tril(A, k=-1).T"))
UPPER = ("cholesky", BODY.replace("READ", "triu(A) + triu(A, k=1).T"))
CODE = """
import numpy as np
def cholesky_forward(A):
    READ
    L = np.linalg.cholesky(A)
    return L, L
def cholesky_backward(dL, L):
    P = np.tril(L.T @ np.tril(dL))
    P[np.diag_indices_from(P)] /= 2
    S = np.linalg.solve(L.T, np.linalg.solve(L.T, P.T).T)
    return RETURN
"""
DIAGONAL = "np.diag(np.diag(S))"
BY_LOWER, BY_UPPER = f"np.tril(S + S.T) - {DIAGONAL}", f"np.triu(S + S.T) - {DIAGONAL}"


def code(returned: str, read: str = "pass") -> str:
    return CODE.replace("RETURN", returned).replace("READ", read)


def cause(verdict: Verdict) -> tuple[str, str]:
    (gradient,) = verdict.gradients
    assert gradient.standing == "wrong"
    assert gradient.cause is not None
    return gradient.cause.code, gradient.cause.message


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (BY_LOWER, "by the lower triangle of A"),
        (BY_UPPER, "by the upper triangle of A"),
        (f"S + S.T - {DIAGONAL}", "counts for both of its places, at both"),
    ],
)
def test_a_convention_is_told(tmp_path: Path, returned: str, words: str) -> None:
    verdict = verdict_on(bundled("cholesky"), tmp_path, code(returned), explain=True)
    found, message = cause(verdict)
    assert found == "triangle"
    assert words in message
    assert "A is symmetric: the right dA is, too" in message


def test_the_symmetric_one_is_right(tmp_path: Path) -> None:
    assert verdict_on(bundled("cholesky"), tmp_path, code("(S + S.T) / 2")).verdict == "pass"


@pytest.mark.parametrize(("side", "returned"), [("lower", BY_LOWER), ("upper", BY_UPPER)])
def test_it_is_right_where_the_forward_pass_says_so(
    tmp_path: Path, side: str, returned: str
) -> None:
    layer, cut, k = (LOWER, "tril", -1) if side == "lower" else (UPPER, "triu", 1)
    read = f"A = np.{cut}(A) + np.{cut}(A, {k}).T"
    assert verdict_on(written(*layer), tmp_path, code(returned, read)).verdict == "pass"
    assert verdict_on(written(*layer), tmp_path, code("(S + S.T) / 2", read)).verdict == "fail"


PLAIN = (
    "square",
    """\
inputs:
  H: [N, D]
parameters:
  U: [D, D]
forward: Y = H @ U""",
)


def test_of_a_matrix_that_is_not_symmetric_it_is_none(tmp_path: Path) -> None:
    text = """
import numpy as np
def square_forward(H, U):
    return H @ U, (H, U)
def square_backward(dY, cache):
    H, U = cache
    g = H.T @ dY
    return dY @ U.T, np.tril(g + g.T) - np.diag(np.diag(g))
"""
    verdict = verdict_on(written(*PLAIN), tmp_path, text, explain=True)
    wrong = next(g for g in verdict.gradients if g.standing == "wrong")
    assert wrong.name == "U"
    assert wrong.cause is not None
    assert wrong.cause.code != "triangle"
