"""A guard in a logarithm, also one in another file, is named; while small it is no mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.pair import check_pair
from gradtool.check.result import Verdict
from gradtool.numeric.reference import reference_for
from gradtool.spec.load import load_text

# Scores are large enough for small probabilities, where a guard counts.
SPEC = """layer: softmax_loss
inputs:
  S: [N, C]
  y: {shape: [N], index: C}
forward: |
  P = softmax(12 * S)
  L = -mean(log(P[arange(N), y]))
"""
TEXT = """
import numpy as np
from numbers_that_are_safe import safe_log
def softmax_loss(x, y):
    n = len(x)
    x = 12 * x
    e = np.exp(x - x.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    right = p[np.arange(n), y]
    loss = -np.sum(safe_log(right)) / n
    dx = p.copy()
    dx[np.arange(n), y] -= 1
    return loss, 12 * dx / n
"""

SAFE = """
import numpy as np
def safe_log(p):
    return np.log(p)
"""


def verdict(tmp_path: Path, guarded: str, *changes: tuple[str, str]) -> Verdict:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "loss.py"
    (tmp_path / "numbers_that_are_safe.py").write_text(SAFE.replace("np.log(p)", guarded))
    file.write_text(text)
    reference = reference_for(load_text(SPEC, "softmax_loss.yaml"))
    return check_pair(reference, file, seed=0, version="1", explain=False).verdict


@pytest.mark.parametrize(
    ("guarded", "said"),
    [
        ("np.log(p + 1e-8)", "log(x + 1e-08)"),
        ("np.log(p + 1e-12)", "log(x + 1e-12)"),
        ("np.log(np.clip(p, 1e-7, 1))", "log(maximum(x, 1e-07))"),
        ("np.log(p + np.finfo(float).eps)", "log(x + 2.22e-16)"),
    ],
)
def test_a_small_guard_is_a_remark(tmp_path: Path, guarded: str, said: str) -> None:
    found = verdict(tmp_path, guarded)
    assert found.verdict == "pass"
    assert [said in r.message for r in found.remarks if r.code == "guard"] == [True]


def test_a_large_guard_is_another_loss(tmp_path: Path) -> None:
    found = verdict(tmp_path, "np.log(p + 1e-3)")
    assert found.verdict == "fail"
    assert found.forward[0].standing == "wrong"
    assert "log(x + 0.001)" in found.forward[0].message


@pytest.mark.parametrize(
    ("guarded", "change"),
    [
        ("np.log(p)", ("right)) / n", "right)) / n + 1e-9")),
        ("np.log(p + 1e-8 * np.arange(len(p)))", ("right)", "right)")),
    ],
)
def test_nothing_else_is_a_guard(tmp_path: Path, guarded: str, change: tuple[str, str]) -> None:
    found = verdict(tmp_path, guarded, change)
    assert found.verdict == "fail"
    assert found.forward[0].standing == "wrong"
    assert not found.forward[0].message.startswith("your forward has log")


def test_a_guard_does_not_excuse_the_gradient(tmp_path: Path) -> None:
    found = verdict(tmp_path, "np.log(p + 1e-8)", ("-= 1", "-= 2"))
    assert found.verdict == "fail"
    assert found.gradients[0].standing == "wrong"
