"""A mistake in an inner value that the numbers alone tell is told at the line of that value.

The line is that of the name which holds what comes out with the mistake.  Where no name does, and
where the value is right and is used in the wrong place, it is the line of the gradient.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.result import Compared
from tests.layers import bundled, verdict_on

ATTENTION = """
import numpy as np

def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)

def attention_forward(Q, K, V):
    scale = Q.shape[-1] ** -0.5
    P = softmax(Q @ K.T * scale)
    return P @ V, (Q, K, V, P, scale)

def attention_backward(dO, cache):
    Q, K, V, P, scale = cache
    dV = P.T @ dO
    dP = dO @ V.T
    dS = P * (dP - (dP * P).sum(axis=1, keepdims=True))
    dQ = dS @ K * scale
    dK = dS.T @ Q * scale
    return dQ, dK, dV
"""
SLOPE = "P * (dP - (dP * P).sum(axis=1, keepdims=True))"
IN_ONE_LINE = ATTENTION.replace(f"    dS = {SLOPE}\n", "").replace("dS", f"({SLOPE})")


def _wrong(folder: Path, text: str) -> dict[str, Compared]:
    found = verdict_on(bundled("attention"), folder, text, explain=True)
    return {g.name: g for g in found.gradients if g.standing == "wrong"}


def test_the_line_is_that_of_the_inner_value(tmp_path: Path) -> None:
    found = _wrong(tmp_path, ATTENTION.replace(SLOPE, "P * dP"))
    assert set(found) == {"Q", "K"}
    for gradient in found.values():
        assert gradient.cause is not None
        assert "in dS" in gradient.cause.message
        assert gradient.source == "dS = P * dP"


def test_without_a_name_it_is_that_of_the_gradient(tmp_path: Path) -> None:
    assert not _wrong(tmp_path, IN_ONE_LINE)
    text = IN_ONE_LINE.replace(SLOPE, "P * dP")
    found = _wrong(tmp_path, text)
    assert {name: g.source for name, g in found.items()} == {
        "Q": "dQ = (P * dP) @ K * scale",
        "K": "dK = (P * dP).T @ Q * scale",
    }


@pytest.mark.parametrize("used", ["dS @ K", "dS.T @ Q"])
def test_what_is_right_and_used_in_the_wrong_place_is_no_such_line(
    tmp_path: Path, used: str
) -> None:
    """`dP` is right, and no mistake is in its line, though it stands where `dS` belongs."""
    text = ATTENTION.replace(used, used.replace("dS", "dP"))
    (found,) = _wrong(tmp_path, text).values()
    assert found.source.startswith("dQ =" if "K" in used else "dK =")
