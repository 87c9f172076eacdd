"""A size at which a layer has nothing to compute may be refused, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.result import Verdict
from tests.layers import bundled, verdict_on, verdicts

BATCH_NORM = """
def batch_norm_forward(X, gamma, beta, eps=1e-5):
    if len(X) {few}:
        {refusal}
    mean, deviation = X.mean(0), np.sqrt(X.var(0) + eps)
    normal = (X - mean) / deviation
    return gamma * normal + beta, (normal, deviation, gamma)
def batch_norm_backward(dY, cache):
    normal, deviation, gamma = cache
    g = dY * gamma
    dX = (g - g.mean(0) - normal * (g * normal).mean(0)) / deviation
    return dX, (dY * normal).sum(0), dY.sum(0)
"""
AFFINE = """
def affine_forward(X, W, b):
    if len(X) == 1:
        raise ValueError("more than one sample is needed")
    return X @ W + b, (X, W)
def affine_backward(dY, cache):
    X, W = cache
    return dY @ W.T, X.T @ dY, dY.sum(0)
"""


def judged(folder: Path, layer: str, text: str) -> Verdict:
    return verdict_on(bundled(layer), folder, f"import numpy as np\n{text}")


@pytest.mark.parametrize("refusal", ['raise ValueError("a batch of one")', "assert False, len(X)"])
def test_a_batch_norm_may_refuse_one_sample_with_a_remark(tmp_path: Path, refusal: str) -> None:
    text = BATCH_NORM.format(few="< 2", refusal=refusal)
    found = judged(tmp_path, "batch_norm", text)
    assert found.verdict == "pass"
    assert any("where no output depends on X" in remark.message for remark in found.remarks)
    wrong = judged(tmp_path, "batch_norm", text.replace("g - g.mean(0)", "g"))
    assert {g.name: g.standing for g in wrong.gradients} == {
        "X": "wrong",
        "gamma": "ok",
        "beta": "ok",
    }
    (alone,) = verdicts(tmp_path, text)
    assert (alone.verdict, alone.layer) == ("pass", "batch_norm")


@pytest.mark.parametrize(
    ("few", "refusal"),
    [
        ("< 3", 'raise ValueError("too few")'),  # two samples have a deviation
        ("< 2", "X = X[5]"),  # it breaks there, which nobody has written
        ("< 2", "raise NotImplementedError"),
    ],
)
def test_more_is_not_excused(tmp_path: Path, few: str, refusal: str) -> None:
    found = judged(tmp_path, "batch_norm", BATCH_NORM.format(few=few, refusal=refusal))
    assert found.verdict != "pass"


def test_a_layer_that_computes_something_there_may_not_refuse_one_sample(tmp_path: Path) -> None:
    assert judged(tmp_path, "affine", AFFINE).verdict != "pass"
