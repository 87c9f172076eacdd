"""Code may refuse sizes that its windows do not fit, and not where no sizes are left then."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.pair import check_pair
from gradtool.numeric.reference import reference_for
from gradtool.spec.load import load_text

SPEC = """
layer: windows_of_three
inputs:
  X: [N, {axis}]
constants:
  stride: 2
sizes:
  T: '>=4'
forward: |
  Y[n, i] = sum(X[n, stride*i + k]**2, over=[k < 3])
check:
  forward: Y = forward(X, stride)
  backward: dX = backward(dY, X, stride)
"""
CODE = """
import numpy as np

def forward(x, stride):
    if {refused_first}:
        raise ValueError("does not fit")
    count = (x.shape[1] - 3) // stride + 1
    return np.stack([(x[:, stride * i:stride * i + 3] ** 2).sum(1) for i in range(count)], axis=1)

def backward(dy, x, stride):
    if {refused}:
        raise ValueError("does not fit")
    dx = np.zeros_like(x)
    for i in range(dy.shape[1]):
        dx[:, stride * i:stride * i + 3] += 2 * x[:, stride * i:stride * i + 3] * dy[:, i:i + 1]
    return dx
"""


@pytest.mark.parametrize(
    ("axis", "refused_first", "refused", "verdict"),
    [
        ("T", "False", "False", "pass"),
        ("T", "(x.shape[1] - 3) % stride", "False", "pass"),
        # What the forward pass has taken the backward pass has to take.
        ("T", "False", "(x.shape[1] - 3) % stride", "fail"),
        ("2*T", "False", "False", "pass"),
        ("2*T", "(x.shape[1] - 3) % stride", "False", "fail"),
        # It runs with the other strides that are tried, and at one size: right by luck.
        ("2*T", "stride == 2 and x.shape[1] > 8", "False", "fail"),
        # As where the number of windows is taken for the stride, which is two.
        ("T", "stride == 2 and x.shape[1] > 6", "False", "fail"),
        ("T", "False", "stride == 2 and dy.shape[1] > 2", "fail"),
    ],
)
def test_an_exception_is_excused_only_where_windows_fit_other_sizes(
    tmp_path: Path, axis: str, refused_first: str, refused: str, verdict: str
) -> None:
    file = tmp_path / "windows.py"
    file.write_text(CODE.format(refused_first=refused_first, refused=refused))
    reference = reference_for(load_text(SPEC.format(axis=axis), "windows.yaml"))
    found = check_pair(reference, file, seed=0, version="1", explain=False).verdict
    assert found.verdict == verdict, found


def test_without_a_forward_pass_the_backward_pass_may_refuse(tmp_path: Path) -> None:
    file = tmp_path / "windows.py"
    file.write_text(CODE.format(refused_first="False", refused="(x.shape[1] - 3) % stride"))
    text = SPEC.format(axis="T").replace("  forward: Y = forward(X, stride)\n", "")
    reference = reference_for(load_text(text, "windows.yaml"))
    assert check_pair(reference, file, seed=0, version="1", explain=False).verdict.verdict == "pass"
