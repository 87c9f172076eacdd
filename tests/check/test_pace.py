"""Slow code is spared large points, by the time that it takes itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.answers import Run
from gradtool.check.bind import Binding
from gradtool.check.conduct import of_repetition
from gradtool.check.pace import LITTLE, Pace
from gradtool.check.probes import probes
from gradtool.check.result import Trouble, Verdict
from gradtool.check.session import TooSlow
from gradtool.lint.findings import findings
from tests.layers import bundled, verdict_on

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
    {slow}
    {first}
    return ({scale} if work > 10_000 else 1) * dX, dW, db
"""
SLOW = """if work > 1000:
        end = time.thread_time() + work * {each}
        while time.thread_time() < end: pass"""
# A term that is zero by algebra, at the two points that are asked first.
ROUNDS = """if work in (24, 30):
        s = 1e4 * (X.sum() + 1)
        n = (s + W.sum()) - s - W.sum()
        dX, dW, db = dX + n, dW + n, db + n"""
SINGLE = """dX, dW, db = (g.astype(np.float32).astype(np.float64) for g in (dX, dW, db))"""


def found(tmp_path: Path, first: str, slow: str, scale: int, seconds: float = 10) -> Verdict:
    text = CODE.format(first=first, slow=slow, scale=scale)
    return verdict_on(bundled("affine"), tmp_path, text, seconds=seconds)


def test_slow_code_is_told_what_was_not_looked_at(tmp_path: Path) -> None:
    verdict = found(tmp_path, "pass", SLOW.format(each=3e-4), 1)
    assert verdict.verdict == "pass"
    (note,) = [note for note in verdict.notes if note.startswith("not looked at")]
    assert "N is 1000, D is 1000" in note
    assert note.count("too slow") == 1  # what is the same of all is told once
    assert [(f.code, f.message) for f in findings(verdict, None)] == [("GT309", note)]


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("first", ["pass", ROUNDS, SINGLE])
def test_what_is_wrong_in_all_at_first_and_excused_is_asked_everywhere(
    tmp_path: Path, first: str, scale: int
) -> None:
    """Slow code that is wrong in all is spared the dear points; nothing is right without them."""
    # The time that it has is several times what it takes, for who else may be busy.
    verdict = found(tmp_path, first, SLOW.format(each=2.5e-5), scale, seconds=20)
    assert verdict.verdict == ("pass" if scale == 1 else "fail")
    assert not verdict.spared


class Late:
    """A session whose worker answers no more."""

    def evaluate(self, *_: object, **__: object) -> Run:
        raise TooSlow(Trouble("worker", "running your code: no answer within 10 s"))


def test_a_repeated_call_that_comes_too_late_is_told_and_no_state(tmp_path: Path) -> None:
    reference = bundled("relu")
    binding = Binding("a pair", forward="Y = f(X)")
    first, other, *_ = probes(reference, binding, 0)
    run = Run({}, {}, (), (), None)
    (remark,) = of_repetition(Late(), first, other, run, 0)  # type: ignore[arg-type]
    assert (remark.code, remark.message[:42]) == (
        "late",
        "a repeated call gave no answer in time: wh",
    )
