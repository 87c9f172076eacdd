"""A stub is called what it is: the snippet that calls it and Python's words for None are not it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.inventory import Inventory
from gradtool.check.result import RETURNS_NONE, Trouble, Verdict
from gradtool.check.unwritten import plainly
from gradtool.lint.findings import findings
from gradtool.report import check_text
from tests.check.references import HandReference, affine
from tests.layers import verdict_on

FUNCTIONS = """\
import numpy as np
def affine_forward(x, w, b):
    {forward}
def affine_backward(dout, cache):
    {backward}
"""
FORWARD = "return x @ w + b, (x, w)"


def verdict(tmp_path: Path, text: str, reference: HandReference | None = None) -> Verdict:
    return verdict_on(reference or affine(), tmp_path, text)


@pytest.mark.parametrize("body", ["pass", "...", "return None", '"""TODO"""', "return"])
@pytest.mark.parametrize("stage", ["forward", "backward"])
def test_a_function_that_returns_none(tmp_path: Path, stage: str, body: str) -> None:
    bodies = {"forward": FORWARD, "backward": "pass", stage: body}
    found = verdict(tmp_path, FUNCTIONS.format(**bodies))
    line = 2 if stage == "forward" else 4
    assert found.verdict == "error"
    assert found.trouble == Trouble(stage, f"affine_{stage} {RETURNS_NONE}", "hw.py", line)
    (told,) = findings(found, None)
    assert (told.code, told.message, told.line) == ("GT206", found.trouble.message, line)
    text = check_text.plain(found)
    assert text.count(RETURNS_NONE) == 1
    assert text.endswith("could not be checked: it is not written yet\n")


@pytest.mark.parametrize(("stage", "line"), [("forward", 3), ("backward", 5)])
def test_a_function_that_is_not_implemented(tmp_path: Path, stage: str, line: int) -> None:
    raising = "raise NotImplementedError('later')"
    bodies = {"forward": FORWARD, "backward": raising, stage: raising}
    (told,) = findings(verdict(tmp_path, FUNCTIONS.format(**bodies)), None)
    assert (told.code, told.line) == ("GT206", line)
    assert told.message == "not written yet: the code raises NotImplementedError"


def test_gradients_that_are_none_are_the_backward_functions(tmp_path: Path) -> None:
    text = FUNCTIONS.format(forward=FORWARD, backward="return None, None, None")
    (told,) = findings(verdict(tmp_path, text), None)
    assert (told.code, told.line) == ("GT206", 4)


def test_what_is_written_and_refuses_some_sizes_is_not_called_unwritten(tmp_path: Path) -> None:
    right = "dout @ cache[1].T, cache[0].T @ dout, dout.sum(0)"
    for refusal in ("if len(dout) == 1: raise NotImplementedError", "if len(dout) == 1: return"):
        body = f"{refusal}\n    return {right}"
        found = verdict(tmp_path, FUNCTIONS.format(forward=FORWARD, backward=body))
        assert [one.code for one in findings(found, None)] == ["GT106"]
        assert "not written yet\n" not in check_text.plain(found)


STATED = affine().checked_by(
    forward="out = affine_forward(X, W, b)\nY = out[0]", backward="db = affine_backward(dY, out)[2]"
)


def test_it_is_found_behind_a_name_of_a_stated_snippet(tmp_path: Path) -> None:
    found = verdict(tmp_path, FUNCTIONS.format(forward="pass", backward="pass"), STATED)
    assert found.trouble is not None
    assert found.trouble.message == f"affine_forward {RETURNS_NONE}"


def test_none_inside_of_what_is_returned_is_not_the_function(tmp_path: Path) -> None:
    """Python's message is kept where it is not sure which value was None."""
    reference = affine().checked_by(
        forward="Y, cache = affine_forward(X, W, b)",
        backward="dX, dW, db = affine_backward(dY, cache)[0]",
    )
    text = FUNCTIONS.format(forward=FORWARD, backward="return None, 1")
    found = verdict(tmp_path, text, reference)
    assert found.trouble is not None
    assert found.trouble.message == "TypeError: cannot unpack non-iterable NoneType object"


def test_a_class_is_named_with_the_method(tmp_path: Path) -> None:
    text = """\
class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b
    def forward(self, X):
        self.X = X
        return X @ self.W + self.b
    def backward(self, dY):
        if dY is None:
            return dY, dY, dY
"""
    found = verdict(tmp_path, text)
    assert found.trouble is not None
    assert found.trouble.message == f"Affine.backward {RETURNS_NONE}"
    assert found.trouble_line == 7


def test_an_exception_of_the_users_own_code_is_kept() -> None:
    message = "TypeError: cannot unpack non-iterable NoneType object"
    snippets = {"forward": "Y, cache = f(X)", "backward": None, "setup": None}
    for place in ("hw.py", "check: forward"):  # nobody defines f
        trouble = Trouble("forward", message, place, 1)
        assert plainly(trouble, snippets, Inventory()) == trouble
