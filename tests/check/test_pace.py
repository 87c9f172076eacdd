"""Slow code is spared large points, by the time that it takes itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.pace import LITTLE, Pace
from gradtool.check.pair import check_pair
from gradtool.lint.findings import findings
from tests.layers import bundled

WORK = 10 * LITTLE


def test_what_is_affordable_follows_from_the_slowest_point() -> None:
    pace = Pace(budget=1.0)
    assert pace.affords(10**9)
    pace.took(WORK, 0.02)
    assert pace.affords(49 * WORK)
    assert not pace.affords(50 * WORK)
    pace.took(WORK, 0.01)
    assert not pace.affords(49 * WORK)
    assert pace.is_dear(3 * WORK)
    assert not pace.is_dear(2 * WORK)


def test_little_is_always_affordable() -> None:
    pace = Pace(budget=0.01)
    pace.took(LITTLE, 0.4)  # a first call may import what it needs
    assert pace.affords(LITTLE)
    assert not pace.affords(LITTLE + 1)
    assert not pace.is_dear(LITTLE)


def test_no_time_is_left_after_an_answer_that_never_came() -> None:
    pace = Pace(budget=10.0)
    assert pace.affords(WORK)
    pace.exhaust()
    assert pace.affords(LITTLE)
    assert not pace.affords(WORK)


CODE = """
import time
import numpy as np

def affine_forward(X, W, b):
    return X @ W + b, (X, W, b)

def affine_backward(dY, cache):
    X, W, b = cache
    dX, dW, db = dY @ W.T, X.T @ dY, dY.sum(0)
    work = X.shape[0] * X.shape[1] * W.shape[1]
    {first}
    {slow}
    return ({scale} if max(X.shape[0], *W.shape) > 900 else 1) * dX, dW, db
"""
SLEEPS = "if work > 1000: time.sleep(work * 3e-4)"
ROUNDS = """if work < 32:
        s = 1e5 * X.sum() + 1e5
        n = (s + W.sum()) - s - W.sum()
        return dX + n, dW + n, db + n"""


@pytest.mark.parametrize(
    ("first", "slow", "scale", "verdict"),
    [
        ("pass", "pass", 2, "fail"),
        ("pass", SLEEPS, 1, "pass"),
        # Whatever is found at the first points, all points are looked at, or it is told.
        (ROUNDS, "if work > 1000: time.sleep(work * 3e-5)", 2, "fail"),
    ],
)
def test_slow_code_is_told_what_was_not_looked_at(
    tmp_path: Path, first: str, slow: str, scale: int, verdict: str
) -> None:
    file = tmp_path / "affine.py"
    file.write_text(CODE.format(first=first, slow=slow, scale=scale))
    found = check_pair(bundled("affine"), file, seed=0, version="1", explain=False).verdict
    assert found.verdict == verdict
    if slow == SLEEPS:
        assert any(note.startswith("not looked at: N is 1000") for note in found.notes)
        told = [f for f in findings(found, None) if "N is 1000" in f.message]
        assert [finding.code for finding in told] == ["GT309"]
