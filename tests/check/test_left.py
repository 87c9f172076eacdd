"""Gradients that an object holds where no text shows it are found, and what is not there is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.result import Verdict
from tests.layers import bundled, verdict_on, verdicts

HEAD = """
class Parameter:
    def __init__(self, value):
        self.value, self.grad = value, np.zeros_like(value)
class Affine:
    def __init__(self, W, b):
        self.W, self.b, self._g, self.calls = {W}, {b}, {{}}, 0.0
    def forward(self, X):
        self.X = X
        return X @ self.W{value} + self.b{value}
    def backward(self, dY):
        self.calls += 1.0
        {keep}
        return dY @ self.W{value}.T
"""
PLAIN = {"W": "W", "b": "b", "value": ""}
OBJECTS = {"W": "Parameter(W)", "b": "Parameter(b)", "value": ".value"}

# name: (how the object is made, how the gradients are kept, more methods)
KEPT = {
    "in parameters that are objects": (
        OBJECTS,
        "self.W.grad += self.X.T @ dY; self.b.grad += dY.sum(0)",
        "",
    ),
    "by setattr": (
        PLAIN,
        "for n, g in (('dW', self.X.T @ dY), ('db', dY.sum(0))): setattr(self, n, g)",
        "",
    ),
    "behind properties": (
        PLAIN,
        "self._g = dict(zip('Wb', (self.X.T @ dY, dY.sum(0))))",
        "    dW = property(lambda self: self._g['W'])\n"
        "    db = property(lambda self: self._g['b'])",
    ),
    "as properties": (
        PLAIN,
        "self.dY = dY",
        "    @property\n    def dW(self):\n        return self.X.T @ self.dY\n"
        "    @property\n    def db(self):\n        return self.dY.sum(0)",
    ),
    "asked for": (
        PLAIN,
        "self.dY = dY",
        "    def get_gradients(self):\n        return self.X.T @ self.dY, self.dY.sum(0)",
    ),
    "in a tuple": (PLAIN, "self.kept = (self.X.T @ dY, dY.sum(0))", ""),
}


def text(name: str) -> str:
    made, keep, more = KEPT[name]
    return HEAD.format(**made, keep=keep) + more


def judged(folder: Path, text: str) -> Verdict:
    return verdict_on(bundled("affine"), folder, f"import numpy as np\n{text}")


@pytest.mark.parametrize("name", KEPT)
def test_they_are_found_and_wrong_ones_are_not_right(tmp_path: Path, name: str) -> None:
    right = text(name)
    assert judged(tmp_path, right).verdict == "pass"
    (alone,) = verdicts(tmp_path, right)
    assert (alone.verdict, alone.layer) == ("pass", "affine")
    # Where no name tells that it is the gradient, that may be somewhere else.
    unnamed = name in ("asked for", "in a tuple")
    allowed = {"fail", "error"} if unnamed else {"fail"}
    for piece, mistake in (("dY.sum(0)", "dY.mean(0)"), ("X.T @ ", "X.T @ -")):
        assert judged(tmp_path, right.replace(piece, mistake)).verdict in allowed


def test_one_that_is_computed_nowhere_is_not_offered(tmp_path: Path) -> None:
    found = judged(tmp_path, HEAD.format(**PLAIN, keep="self.dW = self.X.T @ dY"))
    assert found.verdict == "fail"
    standings = {gradient.name: gradient.standing for gradient in found.gradients}
    assert standings == {"X": "ok", "W": "ok", "b": "not offered"}


def test_one_of_two_that_are_hidden_is_missing(tmp_path: Path) -> None:
    found = judged(tmp_path, HEAD.format(**PLAIN, keep="setattr(self, 'dW', self.X.T @ dY)"))
    assert found.verdict == "fail"
    standings = {gradient.name: gradient.standing for gradient in found.gradients}
    assert standings == {"X": "ok", "W": "ok", "b": "not offered"}


def test_what_is_kept_for_something_else_is_no_gradient(tmp_path: Path) -> None:
    """A state that changes is taken for none: where the gradient is was not recognised."""
    keep = "self.dW = self.X.T @ dY; self._g['velocity'] = 0.9 * self.b + 1"
    found = judged(tmp_path, HEAD.format(**PLAIN, keep=keep))
    assert found.verdict == "error"
    assert found.trouble is not None
    assert "where the object leaves db was not recognised" in found.trouble.message


@pytest.mark.parametrize("shown", ["2 * self._g['W']", "self._g['W'].T"])
def test_what_an_object_shows_counts_and_not_what_lies_behind_it(
    tmp_path: Path, shown: str
) -> None:
    right = text("behind properties")
    wrong = right.replace("self._g['W'])", f"{shown})")
    assert wrong != right
    found = judged(tmp_path, wrong)
    assert {g.name: g.standing for g in found.gradients} == {"X": "ok", "W": "wrong", "b": "ok"}


def test_what_a_method_gives_counts_and_not_what_lies_behind_it(tmp_path: Path) -> None:
    method = "    def gradients(self):\n        return self.g[0] / 3, self.g[1]"
    keep = "self.g = (self.X.T @ dY, dY.sum(0))"
    assert judged(tmp_path, HEAD.format(**PLAIN, keep=keep) + method).verdict != "pass"
    right = method.replace(" / 3", "")
    assert judged(tmp_path, HEAD.format(**PLAIN, keep=keep) + right).verdict == "pass"
