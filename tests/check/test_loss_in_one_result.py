"""A loss and its gradients may come in one result with names, however that is made.

Every text is right; a wrong twin of each has a gradient that is twice too large.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layers import bundled, verdict_on, verdicts, written

HEAD = """
import numpy as np
from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple
Pair = namedtuple("Pair", "loss dP")
Turned = namedtuple("Turned", "dP loss")
@dataclass
class Result:
    loss: float
    dP: np.ndarray
class Typed(NamedTuple):
    dP: np.ndarray
    accuracy: float
    loss: float
"""
FUNCTION = """
def NAME(P, T):
    d = P - T
    loss, dP = np.mean(d**2), 2 * d / d.size
    RETURN
"""
WAYS = {
    "dictionary": 'return {"loss": loss, "dP": dP}',
    "dict": "return dict(dP=dP, loss=loss)",
    "filled": 'out = {}\n    out["dP"] = dP\n    out["loss"] = loss\n    return out',
    "accuracy": 'return {"accuracy": 1.0, "dP": dP, "loss": loss}',
    "nested": 'return {"grads": {"P": dP}, "loss": loss}',
    "named tuple": "return Pair(loss, dP)",
    "gradient first": "return Turned(loss=loss, dP=dP)",
    "typed": "return Typed(dP, 1.0, loss)",
    "dataclass": "return Result(loss, dP)",
    "by a name": "found = Result(loss=loss, dP=dP)\n    return found",
    "namespace": "return SimpleNamespace(loss=loss, dP=dP)",
}


def text(way: str, name: str = "mse_loss") -> str:
    return HEAD + FUNCTION.replace("NAME", name).replace("RETURN", way)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_right_code_is_right(tmp_path: Path, way: str) -> None:
    verdict = verdict_on(bundled("mse"), tmp_path, text(way))
    assert (verdict.verdict, verdict.remarks) == ("pass", ())


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_wrong_code_is_wrong(tmp_path: Path, way: str) -> None:
    verdict = verdict_on(bundled("mse"), tmp_path, text(way).replace("2 * d", "4 * d"))
    assert [gradient.standing for gradient in verdict.gradients] == ["wrong"]
    assert [output.standing for output in verdict.forward] == ["ok"]


@pytest.mark.parametrize("way", ["dictionary", "typed", "dataclass"])
@pytest.mark.parametrize("name", ["mse", "mse_loss_and_grad", "mean_squared_error"])
def test_the_layer_is_found(tmp_path: Path, way: str, name: str) -> None:
    found = verdicts(tmp_path, text(WAYS[way], name))
    assert [(one.verdict, one.layer) for one in found] == [("pass", "mse")]


def test_a_wrong_loss_is_wrong(tmp_path: Path) -> None:
    changed = text(WAYS["dataclass"]).replace("np.mean(d**2)", "np.sum(d**2)")
    verdict = verdict_on(bundled("mse"), tmp_path, changed)
    assert [output.standing for output in verdict.forward] == ["wrong"]


REGRESSION = (
    "regression",
    """\
inputs:
  X: [N, D]
  T: {shape: [N, C], constant: true}
parameters:
  W: [D, C]
  b: [C]
forward: L = mean((X @ W + b - T)**2)""",
)
SEVERAL = """
def regression_loss(X, T, W, b):
    d = X @ W + b - T
    g = 2 * d / d.size
    loss, dX, dW, db = np.mean(d**2), g @ W.T, X.T @ g, g.sum(axis=0)
    RETURN
"""


@pytest.mark.parametrize(
    "way",
    [
        'return {"loss": loss, "dX": dX, "dW": dW, "db": db}',
        'return {"loss": loss, "grads": {"W": dW, "X": dX, "b": db}}',
        "kept = SimpleNamespace(db=db, dW=dW, loss=loss)\n    kept.dX = dX\n    return kept",
    ],
)
def test_several_gradients(tmp_path: Path, way: str) -> None:
    right = HEAD + SEVERAL.replace("RETURN", way)
    assert verdict_on(written(*REGRESSION), tmp_path, right).verdict == "pass"
    verdict = verdict_on(written(*REGRESSION), tmp_path, right.replace("X.T @ g", "X.T @ d"))
    assert [g.name for g in verdict.gradients if g.standing == "wrong"] == ["W"]


@pytest.mark.parametrize(
    "returned", ['{"loss": loss, "accuracy": 1.0}', "SimpleNamespace(loss=loss, global_step=3)"]
)
def test_an_evaluation_is_no_layer(tmp_path: Path, returned: str) -> None:
    """Such functions stand in many files: each would be listed as a pair that is no layer."""
    beside = f"""
def evaluate(P, T):
    loss = np.mean((P - T)**2)
    return {returned}
"""
    found = verdicts(tmp_path, text(WAYS["dictionary"]) + beside)
    assert [(one.verdict, one.layer) for one in found] == [("pass", "mse")]


def test_a_dictionary_of_anything_is_no_loss(tmp_path: Path) -> None:
    """What makes parameters, beside a pair, is none of two that could be meant."""
    pair = """
def affine_forward(X, W, b):
    return X @ W + b, (X, W)
def affine_backward(dY, cache):
    return dY @ cache[1].T, cache[0].T @ dY, dY.sum(axis=0)
def affine(D, C):
    return {"W": np.zeros((D, C)), "b": np.zeros(C)}
"""
    assert verdict_on(bundled("affine"), tmp_path, HEAD + pair).verdict == "pass"
