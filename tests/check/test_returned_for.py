"""What a forward pass returns for the backward pass, and in which way, does not matter.

Every text is right; a wrong twin of each has one factor too many in its backward pass.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.result import Verdict
from tests.layers import bundled, verdict_on, verdicts, written

BACKWARD = """
def affine_backward(dY, cache):
    X, W, b = cache
    return dY @ W.T, X.T @ dY, dY.sum(axis=0)
"""
METHODS = """
class Affine:
    @DECORATOR
    def forward(FIRSTx, w, b):
        RETURN
    @DECORATOR
    def backward(FIRSTARGUMENTS):
        TAKE
        return dout @ w.T, x.T @ dout, dout.sum(axis=0)
"""


def methods(
    returned: str, arguments: str, take: str = "pass", decorator: str = "staticmethod"
) -> str:
    first = "" if decorator == "staticmethod" else "cls, "
    text = METHODS.replace("DECORATOR", decorator).replace("FIRST", first)
    text = text.replace("RETURN", returned).replace("ARGUMENTS", arguments)
    return text.replace("TAKE", take)


def function(returned: str) -> str:
    return f"\ndef affine_forward(X, W, b):\n    Y = X @ W + b\n    {returned}\n"


AFFINE = {
    "dictionary": function('return {"out": Y, "cache": (X, W, b)}') + BACKWARD,
    "cache first": function("return dict(cache=(X, W, b), result=Y)") + BACKWARD,
    "by its name": function('found = {"Y": Y, "cache": (X, W, b), "n": 3}\n    return found')
    + BACKWARD,
    "filled": function('kept = {}\n    kept["cache"] = X, W, b\n    kept["y"] = Y\n    return kept')
    + BACKWARD,
    "values": function('return {"out": Y, "X": X, "W": W}')
    + "def affine_backward(dY, X, W):\n    return dY @ W.T, X.T @ dY, dY.sum(axis=0)\n",
    "the whole": function('return {"out": Y, "X": X, "W": W}')
    + 'def affine_backward(dY, cache):\n    X, W = cache["X"], cache["W"]\n'
    + "    return dY @ W.T, X.T @ dY, dY.sum(axis=0)\n",
    "static": methods("return x @ w + b, (x, w, b)", "dout, cache", "x, w, b = cache"),
    "cache before": methods("return x @ w + b, (x, w, b)", "cache, dout", "x, w, b = cache"),
    "class": methods("return x @ w + b, (x, w)", "dout, cache", "x, w = cache", "classmethod"),
    "static dictionary": methods(
        'return {"out": x @ w + b, "cache": (x, w)}', "dout, cache", "x, w = cache"
    ),
    "static values": methods("return x @ w + b, x, w", "dout, x, w"),
    "kept nothing": methods("return x @ w + b", "dout, x, w, b"),
    "object": """
class Affine:
    def __init__(self, w, b):
        self.w, self.b = w, b
    def forward(self, x):
        return x @ self.w + self.b, (x,)
    def backward(self, dout, cache):
        self.db, self.dw = dout.sum(axis=0), cache[0].T @ dout
        return dout @ self.w.T
""",
}
WRONG = (("x.T @ dout", "2 * x.T @ dout"), ("X.T @ dY", "2 * X.T @ dY"), ("[0].T", "[0].T * 2"))


def wrong(text: str) -> str:
    for right, other in WRONG:
        text = text.replace(right, other)
    return text


def affine(tmp_path: Path, text: str) -> Verdict:
    return verdict_on(bundled("affine"), tmp_path, "import numpy as np\n" + text)


@pytest.mark.parametrize("text", AFFINE.values(), ids=AFFINE)
def test_right_code_is_right(tmp_path: Path, text: str) -> None:
    assert affine(tmp_path, text).verdict == "pass"


@pytest.mark.parametrize("text", AFFINE.values(), ids=AFFINE)
def test_wrong_code_is_wrong(tmp_path: Path, text: str) -> None:
    verdict = affine(tmp_path, wrong(text))
    assert [g.name for g in verdict.gradients if g.standing == "wrong"] == ["W"]


@pytest.mark.parametrize("kind", ["dictionary", "static", "static dictionary"])
def test_the_layer_is_found(tmp_path: Path, kind: str) -> None:
    found = verdicts(tmp_path, AFFINE[kind])
    assert [(one.verdict, one.layer) for one in found] == [("pass", "affine")]


def test_a_wrong_forward_pass_is_wrong(tmp_path: Path) -> None:
    verdict = affine(tmp_path, AFFINE["dictionary"].replace("X @ W + b", "X @ W - b"))
    assert [output.standing for output in verdict.forward] == ["wrong"]


def test_what_is_the_output_is_not_guessed(tmp_path: Path) -> None:
    text = function('return {"first": Y, "second": X, "cache": (X, W, b)}') + BACKWARD
    verdict = affine(tmp_path, text)
    assert verdict.trouble is not None
    assert "which of first, second, cache is Y?" in verdict.trouble.message


TWO = (
    "affine",
    """\
inputs:
  X: [N, D]
parameters:
  W: [D, C]
forward: |
  P = X @ W
  Q = tanh(P)
outputs: [P, Q]""",
)


@pytest.mark.parametrize("order", ['"P": p, "Q": q', '"Q": q, "cache_": 1, "P": p'])
def test_several_outputs_are_told_by_their_names(tmp_path: Path, order: str) -> None:
    text = f"""
import numpy as np
def affine_forward(X, W):
    p = X @ W
    q = np.tanh(p)
    return {{{order}, "cache": (X, W, q)}}
def affine_backward(dP, dQ, cache):
    X, W, q = cache
    d = dP + dQ * (1 - q**2)
    return d @ W.T, X.T @ d
"""
    assert verdict_on(written(*TWO), tmp_path, text).verdict == "pass"
    exchanged = text.replace('"P": p', '"P": q').replace('"Q": q', '"Q": p')
    assert verdict_on(written(*TWO), tmp_path, exchanged).verdict == "fail"
