"""A result is read at each call by what it is: by names where it has them, else by place.

The numbers that count are those of the bundled layers; the code is right or wrong by how it was
written.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.bind import Binding
from gradtool.check.either import either
from tests.layers import bundled, verdict_on, verdicts

AFFINE = """
import numpy as np
from collections import namedtuple
Turned = namedtuple("Turned", "db dW dX")
def affine_forward(X, W, b):
    return X @ W + b, (X, W, b)
def affine_backward(dY, cache):
    X, W, b = cache
    dX, dW, db = dY @ W.T, X.T @ dY, dY.sum(axis=0)
    if CONDITION:
        return TUPLE
    return NAMED
"""
NAMED = (
    '{"dX": dX, "dW": dW, "db": db}',
    'dict(zip(("dX", "dW", "db"), (dX, dW, db)))',
    "Turned(db, dW, dX)",
)


def affine(condition: str, named: str = NAMED[0], several: str = "dX, dW, db") -> str:
    text = AFFINE.replace("CONDITION", condition)
    return text.replace("TUPLE", several).replace("NAMED", named)


@pytest.mark.parametrize("condition", ["len(X) == 1", "len(X) > 1", "False", "True"])
@pytest.mark.parametrize("named", NAMED)
def test_right_by_name_and_by_place(tmp_path: Path, condition: str, named: str) -> None:
    verdict = verdict_on(bundled("affine"), tmp_path, affine(condition, named))
    assert verdict.verdict == "pass"
    assert not verdict.remarks


@pytest.mark.parametrize(
    ("condition", "several", "named"),
    [
        ("len(X) == 1", "dX, 2 * dW, db", NAMED[0]),
        ("len(X) > 1", "dX, dW, 2 * db", NAMED[1]),
        ("len(X) == 1", "dX, dW, db", '{"dX": dX, "dW": dW, "db": -db}'),
        ("len(X) > 1", "dX, dW, db", '{"dX": dX, "dW": dX, "db": db}'),
        ("len(X) == 1", "dX, dW, db", "Turned(dX, dW, db)"),
    ],
)
def test_wrong_by_name_or_by_place(
    tmp_path: Path, condition: str, several: str, named: str
) -> None:
    verdict = verdict_on(bundled("affine"), tmp_path, affine(condition, named, several))
    assert verdict.verdict == "fail"
    assert any(gradient.standing == "wrong" for gradient in verdict.gradients)


LOSS = """
def mse_loss(P, T):
    d = P - T
    loss, dP = np.mean(d**2), FACTOR * d / d.size
    if CONDITION:
        return loss, dP
    return {"loss": loss, "dP": dP}
"""


@pytest.mark.parametrize("condition", ["len(P) == 1", "len(P) > 1"])
@pytest.mark.parametrize(("factor", "expected"), [("2", "pass"), ("4", "fail")])
def test_a_loss_is_not_for_one_sample_only(
    tmp_path: Path, condition: str, factor: str, expected: str
) -> None:
    text = LOSS.replace("CONDITION", condition).replace("FACTOR", factor)
    (found,) = verdicts(tmp_path, text)
    assert (found.verdict, found.layer) == (expected, "mse")
    assert not [remark for remark in found.remarks if "one sample" in remark.message]


RELU = """
import numpy as np
def relu_forward(X):
    return np.maximum(X, 0), X
def relu_backward(dY, cache):
    found = dY * (cache > 0)
    FIRST
    SECOND
"""


def test_what_has_no_places_is_refused_in_words(tmp_path: Path) -> None:
    text = RELU.replace("FIRST", 'if len(cache) > 1: return {"dX": found}')
    verdict = verdict_on(bundled("relu"), tmp_path, text.replace("SECOND", "return found"))
    assert verdict.verdict != "pass"
    assert verdict.trouble is not None
    assert "made up otherwise here" in verdict.trouble.message


def test_one_gradient_may_come_alone(tmp_path: Path) -> None:
    text = RELU.replace("FIRST", "if len(cache) == 1: return found")
    verdict = verdict_on(bundled("relu"), tmp_path, text.replace("SECOND", 'return {"dX": found}'))
    assert verdict.verdict == "pass"


def test_the_reading_is_printed_as_it_is_run() -> None:
    placed = Binding("", "Y, cache = f(X)", "dX, _, db = g(dY, cache)")
    named = Binding("", "Y, cache = f(X)", 'r = g(dY, cache)\ndb = r["db"]\ndX = r["dX"]')
    found = either(placed, named)
    assert found is not None
    assert found.backward is not None
    assert found.backward.splitlines() == [
        "r = g(dY, cache)",
        'db = r[2] if type(r) in (tuple, list) else r["db"]',
        'dX = r[0] if type(r) in (tuple, list) else r["dX"]',
    ]
    assert either(named, named) is None
