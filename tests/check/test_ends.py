"""Near the ends of an interval, where numbers are large, code must be right, too."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gradtool.check.ends import _near_ends
from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.spec.load import load_text
from gradtool.spec.model import Domain
from tests.layers import bundled, verdict_on

ENTROPY = """
import numpy as np
def bce(A, T):
    CLIP
    L = -np.mean(T * np.log(A) + (1 - T) * np.log(1 - A))
    return L, SLOPE / len(A)
"""
ARCSINE = """
layer: arcsine
inputs: {X: {shape: [N, D], domain: [-1, 1]}}
forward: Y = sqrt(1 - X**2)
"""
ROOT = """
import numpy as np
def arcsine_forward(X):
    return np.sqrt(1 - X**2), X
def arcsine_backward(dY, X):
    return SLOPE
"""


@cache
def layer(text: str) -> DerivedReference:
    return reference_for(load_text(text, "ends.yaml"))


@pytest.mark.parametrize(
    "slope",
    [
        "(A - T) / (A * (1 - A))",
        "((1 - T) / (1 - A) - T / A)",
        "(A - T) / (A - A**2)",
        "np.where(T == 1, -1 / A, 1 / (1 - A))",
    ],
)
@pytest.mark.parametrize("clip", ["pass", "A = np.clip(A, 1e-7, 1 - 1e-7)", "A = A + 1e-12"])
def test_right_formulas_and_small_guards_pass(tmp_path: Path, slope: str, clip: str) -> None:
    code = ENTROPY.replace("SLOPE", slope).replace("CLIP", clip)
    for seed in range(3):
        verdict = verdict_on(bundled("binary_cross_entropy"), tmp_path, code, seed=seed)
        assert verdict.verdict == "pass", verdict


@pytest.mark.parametrize("clip", ["A = np.clip(A, 0.04, 0.96)", "A = np.clip(A, 0.01, 1)"])
def test_values_that_are_cut_off_near_an_end_are_found(tmp_path: Path, clip: str) -> None:
    code = ENTROPY.replace("SLOPE", "(A - T) / (A * (1 - A))").replace("CLIP", clip)
    reference = bundled("binary_cross_entropy")
    verdicts = [verdict_on(reference, tmp_path, code, seed=seed) for seed in range(3)]
    assert {v.verdict for v in verdicts} == {"fail"}
    assert all("near an end of their interval" in v.gradients[0].message for v in verdicts)


def test_a_derivative_that_is_infinite_at_the_ends(tmp_path: Path) -> None:
    for slope, verdict in (
        ("-dY * X / np.sqrt(1 - X**2)", "pass"),
        ("-dY * X / np.sqrt((1 - X) * (1 + X))", "pass"),
        ("-dY * X / np.maximum(np.sqrt(1 - X**2), 0.3)", "fail"),
        ("-dY * X / np.maximum(np.sqrt(1 - X**2), 0.1)", "fail"),
    ):
        code = ROOT.replace("SLOPE", slope)
        assert verdict_on(layer(ARCSINE), tmp_path, code).verdict == verdict, slope


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-2, 3), (None, 1), (2, None)])
def test_entries_are_near_every_end_and_inside(low: float | None, high: float | None) -> None:
    domain = Domain("interval", low, high)  # type: ignore[arg-type]  # whole numbers do
    drawn = _near_ends(domain, (50, 2), np.random.default_rng(0))
    ends = [end for end in (low, high) if end is not None]
    away = np.stack([np.abs(drawn - end) for end in ends])
    assert np.all(away.min(axis=0) <= 1e-3 * 5)
    assert all(np.any(one < 0.01) for one in away)
    assert low is None or np.all(drawn > low)
    assert high is None or np.all(drawn < high)
