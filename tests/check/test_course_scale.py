"""A mean over the samples inside a backward pass is a convention, and excuses nothing else.

The gradients of the parameters are N or 1/N times those of the layer.  What is wrong at large
values, at zeros and at kinks only is wrong with such a factor, as it is without one; what is right
passes with either.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.pair import check_pair
from gradtool.check.result import Verdict
from tests.layers import bundled, verdict_on, written

AFFINE = """
import numpy as np
def affine_forward(X, W, b):
    return X @ W + b, (X, W)
def affine_backward(dY, cache):
    X, W = cache
    dW, db = X.T @ dY, dY.sum(axis=0)
    {}
    return dY @ W.T, dW {factor}, db {factor}
"""
RELU = """
import numpy as np
def affine_relu_forward(X, W, b):
    Z = X @ W + b
    return np.maximum(Z, 0), (X, W, Z)
def affine_relu_backward(dA, cache):
    X, W, Z = cache
    dZ = dA * (Z > 0)
    dW, db = X.T @ dZ, dZ.sum(axis=0)
    {}
    return dZ @ W.T, dW {factor}, db {factor}
"""
GATE = """
import numpy as np
def forward(X, g):
    return g * X**3, (X, g)
def backward(dY, cache):
    X, g = cache
    dg = (dY * X**3).sum(axis=0)
    {}
    return dY * g * 3 * X**2, dg {factor}
"""
FACTORS = ("", "/ len(X)", "* len(X)")
MISTAKES = {
    "large inputs": (AFFINE, "dW = np.minimum(X, 40.0).T @ dY", "W"),
    "large upstream gradients": (AFFINE, "dW = X.T @ (dY * (dY < 500))", "W"),
    "zeros": (AFFINE, "dW = X.T @ (dY + (dY == 0))", "W"),
    "zero upstream gradients": (AFFINE, "db = (dY + (dY == 0)).sum(axis=0)", "b"),
    "zero inputs": (GATE, "dg = dg + (X == 0).sum(axis=0)", "g"),
    "beside a kink": (RELU, "db = db + (Z == 0).any() * (dA == 0).any()", "b"),
}


def verdict(folder: Path, shape: str, line: str, factor: str) -> Verdict:
    text = shape.format(line, factor=factor)
    if shape is GATE:
        layer = written(
            "gate",
            "inputs: {X: [N, D]}\nparameters: {g: [D]}\nforward: Y = g * X**3\n"
            "check:\n  forward: Y, cache = forward(X, g)\n  backward: dX, dg = backward(dY, cache)",
        )
        file = folder / "hw.py"
        file.write_text(text)
        return check_pair(layer, file, seed=0, version="", explain=False).verdict
    return verdict_on(bundled("affine" if shape is AFFINE else "affine_relu"), folder, text)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("shape", [AFFINE, RELU, GATE], ids=["affine", "relu", "gate"])
def test_right_code_passes_with_the_factor(tmp_path: Path, shape: str, factor: str) -> None:
    found = verdict(tmp_path, shape, "pass", factor)
    assert found.verdict == "pass", found
    assert [r.code for r in found.remarks if r.code == "scale"] == ["scale"] * bool(factor)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_wrong_at_special_values_is_wrong(
    tmp_path: Path, mistake: str, factor: str
) -> None:
    shape, line, name = MISTAKES[mistake]
    found = verdict(tmp_path, shape, line, factor)
    assert found.verdict == "fail", found
    assert [g.name for g in found.gradients if g.standing == "wrong"] == [name]


@pytest.mark.parametrize("factor", FACTORS)
def test_any_choice_at_a_kink_is_right(tmp_path: Path, factor: str) -> None:
    found = verdict(tmp_path, RELU.replace("Z > 0", "Z >= 0"), "pass", factor)
    assert found.verdict == "pass"


def test_as_many_points_are_looked_at_as_without(tmp_path: Path) -> None:
    plain, scaled = (verdict(tmp_path, AFFINE, "pass", factor) for factor in FACTORS[:2])
    assert plain.probes == scaled.probes
