"""A function of the file may be called like what the layer gives: ``loss = loss(P)``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layers import verdict_on, written

LOSS = """\
inputs:
  P: [N, D]
forward: |
  loss = (P**2).mean()"""
SLOPE = "import numpy as np\ndef dP(P):\n    return 2 * P / P.size\n"
TOGETHER = """\
import numpy as np
def loss(P):
    return (P**2).mean(), 2 * P / P.size
"""
APART = """\
import numpy as np
def loss(P):
    return (P**2).mean()
def loss_backward(P):
    return 2 * P / P.size
"""


@pytest.mark.parametrize("text", [TOGETHER, APART])
def test_a_function_may_be_called_like_the_output(tmp_path: Path, text: str) -> None:
    layer = written("mean_square", LOSS)
    found = verdict_on(layer, tmp_path, text)
    assert (found.verdict, [g.standing for g in found.gradients]) == ("pass", ["ok"]), found
    found = verdict_on(
        layer, tmp_path, text.replace("return 2 *", "return 3 *").replace(", 2", ", 3")
    )
    assert (found.verdict, [g.standing for g in found.gradients]) == ("fail", ["wrong"])


STATED = """
check:
  setup: |
    {setup}
  forward: |
    loss = {forward}
  backward: |
    dP = dP(P)"""


@pytest.mark.parametrize(
    ("setup", "forward"),
    [
        ("other = 0.0", "(lambda a: (a**2).mean())(P)"),
        # What the block defines counts before what the file has.
        ("loss = lambda a: (a**2).mean()", "loss(P)"),
        ("loss = wrong = lambda a: (a**2).mean()", "loss(P) + 0 * wrong(P)"),
    ],
)
def test_what_a_block_defines_is_taken_from_there(tmp_path: Path, setup: str, forward: str) -> None:
    layer = written("mean_square", LOSS + STATED.format(setup=setup, forward=forward))
    text = SLOPE + "def loss(P):\n    return 0.0\n"
    found = verdict_on(layer, tmp_path, text)
    assert (found.verdict, [g.standing for g in found.gradients]) == ("pass", ["ok"]), found
