"""Targets of -1 and 1: code that relies on it is right, and no other number is drawn for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradtool.numeric.draw import draw
from gradtool.spec.load import load_text
from tests.layers import bundled, verdict_on

# t * t is 1: the derivative -2 * t * (1 - t * s) is 2 * (s - t).
HINGE = """
import numpy as np
def squared_hinge(s, t):
    assert np.all(np.isin(t, (-1, 1)))
    m = np.maximum(0, 1 - t * s)
    ds = np.where(m > 0, SLOPE, 0) / len(s)
    return np.mean(m**2), ds
"""
FOCAL = """
import numpy as np
def focal_loss(z, t, gamma):
    p = 1 / (1 + np.exp(-z))
    pt = np.where(t == 1, p, 1 - p)
    SIDES
    loss = -np.mean((1 - pt) ** gamma * np.log(pt))
    return loss, -side * (1 - pt) ** gamma * ((1 - pt) - gamma * pt * np.log(pt)) / len(z)
"""


@pytest.mark.parametrize(
    ("layer", "code", "verdict"),
    [
        ("squared_hinge", HINGE.replace("SLOPE", "2 * (s - t)"), "pass"),
        ("squared_hinge", HINGE.replace("SLOPE", "2 * (s + t)"), "fail"),
        ("squared_hinge", HINGE.replace("SLOPE", "-2 * m"), "fail"),  # right where t is 1
        ("focal", FOCAL.replace("SIDES", "side = t"), "pass"),
        ("focal", FOCAL.replace("SIDES", "side = 1"), "fail"),
    ],
)
def test_code_may_rely_on_signs(layer: str, code: str, verdict: str, tmp_path: Path) -> None:
    found = verdict_on(bundled(layer), tmp_path, code)
    assert found.verdict == verdict, found


def test_both_signs_are_drawn() -> None:
    spec = load_text("layer: a\ninputs:\n  t: {shape: [N, 3], domain: sign}\nforward: Y = t\n", "a")
    values = draw(spec, {"N": 50}, np.random.default_rng(0))["t"]
    assert set(values.ravel().tolist()) == {-1.0, 1.0}
