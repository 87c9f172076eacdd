"""Backward passes that are right only for one window, for one stride, or where none overlap."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.result import Verdict
from gradtool.numeric.reference import reference_for
from gradtool.spec.load import load_text
from tests.layers import verdict_on

SPEC = """
layer: windows
inputs:
  X: [N, T]
parameters:
  F: [{size}]
constants: {{stride: {stride}}}
forward: |
  Y = windows(X, {size}, stride=stride) @ F
check:
  forward: Y, cache = forward(X, F, stride)
  backward: dX, dF = backward(dY, cache)
"""
CODE = """
import numpy as np
def forward(X, F, stride):
    T, R = X.shape[1], len(F)
    {fits}
    count = (T - R) // stride + 1
    Y = np.stack([X[:, i * stride:i * stride + R] @ F for i in range(count)], axis=1)
    return Y, (X, F, stride)
def backward(dY, cache):
    X, F, stride = cache
    R, count = len(F), dY.shape[1]
    dX, dF = np.zeros_like(X), np.zeros_like(F)
    for i in range(count):
        here = slice(i * {step}, i * {step} + R)
        dX[:, here] {add} dY[:, i:i + 1] * F
        dF += dY[:, i] @ X[:, here]
    return dX, dF
"""
FITS = "assert (T - R) % stride == 0"


def verdict(folder: Path, size: int, stride: int, **pieces: str) -> Verdict:
    code = {"fits": "pass", "step": "stride", "add": "+=", **pieces}
    spec = load_text(SPEC.format(size=size, stride=stride), "windows.yaml")
    return verdict_on(reference_for(spec), folder, CODE.format(**code))


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (6, 3), (11, 4), (9, 4)])
@pytest.mark.parametrize("fits", ["pass", FITS])
def test_the_right_code_passes(tmp_path: Path, size: int, stride: int, fits: str) -> None:
    assert verdict(tmp_path, size, stride, fits=fits).verdict == "pass"


@pytest.mark.parametrize(
    ("size", "stride", "fits", "step", "add"),
    [
        (3, 2, "pass", "2", "+="),  # the spec's stride, whatever is given
        (11, 4, "pass", "1", "+="),
        (11, 4, FITS, "1", "+="),
        (6, 3, FITS, "stride", "="),
        (9, 4, FITS, "stride", "="),
        (3, 2, FITS, "count", "+="),
    ],
)
def test_the_mistake_is_found(
    tmp_path: Path, size: int, stride: int, fits: str, step: str, add: str
) -> None:
    assert verdict(tmp_path, size, stride, fits=fits, step=step, add=add).verdict == "fail"


EQUAL = """
layer: elastic
parameters:
  W: [D]
  V: [D]
constants: {one: 0.5, other: 0.5}
forward: |
  L = one * sum(W**2) + other * sum(V**2)
check:
  forward: L = forward(W, V, one, other)
  backward: dW, dV = backward(W, V, one, other)
"""


@pytest.mark.parametrize(
    ("first", "second", "told"), [("one", "other", "pass"), ("other", "one", "fail")]
)
def test_constants_that_are_equal_are_varied_apart(
    tmp_path: Path, first: str, second: str, told: str
) -> None:
    text = (
        "def forward(W, V, one, other):\n"
        "    return one * (W**2).sum() + other * (V**2).sum()\n"
        "def backward(W, V, one, other):\n"
        f"    return 2 * {first} * W, 2 * {second} * V\n"
    )
    reference = reference_for(load_text(EQUAL, "elastic.yaml"))
    assert verdict_on(reference, tmp_path, text).verdict == told
