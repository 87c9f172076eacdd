"""Who loses the worker at one question is asked the others all the same, in another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.pair import check_pair
from gradtool.check.result import Verdict
from gradtool.lint.findings import findings
from tests.layers import bundled

CODE = """
import os
import numpy as np
class Layer:
    mask = None
    def forward(self, X):
        LOST
        self.X = X
        if self.mask is None or not KEPT:
            self.mask = X > 0
        return FORWARD
    def backward(self, dY):
        return BACKWARD
"""
RELU = {"FORWARD": "np.maximum(X, 0)", "BACKWARD": "dY * self.mask", "KEPT": "False"}
TANH = {"FORWARD": "np.tanh(X)", "BACKWARD": "dY / np.cosh(self.X) ** 2", "KEPT": "False"}
EXITS = "os._exit(3)"
HANGS = "\n            while True: pass"
LARGE = "if np.abs(X).max() > 10: {}"
HUGE = "if np.abs(X).max() > 100: {}"


def judged(folder: Path, layer: str, pieces: dict[str, str], seconds: float = 10.0) -> Verdict:
    text, file = CODE, folder / "layer.py"
    for name, piece in pieces.items():
        text = text.replace(name, piece)
    file.write_text(text)
    found = check_pair(bundled(layer), file, seed=0, version="", seconds=seconds, explain=False)
    return found.verdict


@pytest.mark.parametrize(("how", "said"), [(EXITS, "it ended the"), (HANGS, "no answer within")])
def test_only_what_was_lost_is_told(tmp_path: Path, how: str, said: str) -> None:
    found = judged(tmp_path, "relu", {**RELU, "LOST": HUGE.format(how)}, seconds=2.0)
    assert found.verdict == "pass"
    (remark,) = found.remarks
    assert remark.message.startswith(f"at huge inputs {said}")
    assert (found.conduct, found.notes) == ((), ())


@pytest.mark.parametrize("how", [EXITS, HANGS])
def test_a_mistake_elsewhere_is_found_all_the_same(tmp_path: Path, how: str) -> None:
    pieces = {**RELU, "KEPT": "True", "LOST": HUGE.format(how)}
    found = judged(tmp_path, "relu", pieces, seconds=2.0)
    assert found.verdict == "fail"
    (gradient,) = found.gradients
    assert gradient.message.startswith("right for the first batch only")


def test_what_is_large_is_no_reason_not_to_be_asked_what_is_tiny(tmp_path: Path) -> None:
    slope = "dY / np.cosh(self.X) ** 2 * (1 + (np.abs(self.X).max() < 0.01))"
    found = judged(tmp_path, "tanh", {**TANH, "BACKWARD": slope, "LOST": LARGE.format(EXITS)})
    assert found.verdict == "fail"
    (gradient,) = found.gradients
    text = "right until the largest value shrinks to 0.01, wrong from there on"
    assert gradient.message == text
    assert [r.message for r in found.remarks] == [
        "at large inputs it ended the process (exit code 3)"  # huge ones are larger still
    ]


def test_who_is_lost_again_and_again_is_told_to_be_and_asked_no_more(tmp_path: Path) -> None:
    """At huge values, at zeros, and for an array in Fortran order; a repeated call comes last."""
    lost = "if np.abs(X).max() > 100 or not X.all() or not X.flags.c_contiguous: os._exit(3)"
    found = judged(tmp_path, "tanh", {**TANH, "LOST": lost})
    assert found.verdict == "pass"
    (told,) = found.spared
    assert told.endswith("your code hung or ended the process again and again")
    assert found.notes == (f"not looked at: {told}",)
    assert "GT309" in {one.code for one in findings(found, None)}
    where = [(r.code, r.message.partition(" it ")[0]) for r in (*found.remarks, *found.conduct)]
    assert where == [
        ("overflow", "at huge inputs"),
        ("zeros", "where some entries are 0"),
        ("order", "where Z or dA is a transposed view (F order)"),
    ]


def test_a_file_that_cannot_be_loaded_again_is_asked_no_more(tmp_path: Path) -> None:
    gone = "os.remove(__file__)\nclass Layer:"
    found = judged(tmp_path, "tanh", {**TANH, "class Layer:": gone, "LOST": HUGE.format(EXITS)})
    assert found.verdict == "pass"
    assert len(found.spared) == 1
    (remark,) = found.remarks
    assert remark.message.startswith("at huge inputs it ended")
    assert found.conduct == ()
