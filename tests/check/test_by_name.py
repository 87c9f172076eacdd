"""What a result calls its parts counts, wherever the names come from; a place only without names.

Each way to hand back gradients stands for one that people use.  Right code passes in every
gradient, and the same code with two parts exchanged, or one of them changed, fails in these.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.arguments import Names, NoMatch
from gradtool.check.bind import Binding
from gradtool.check.by_name import by_name
from gradtool.check.named import parts_of
from tests.layers import bundled, verdict_on, verdicts

HEAD = """
import numpy as np
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import NamedTuple
NAMES = ("dX", "dW", "db")
Grads = namedtuple("Grads", NAMES)
class Turned(NamedTuple):
    db: np.ndarray
    dX: np.ndarray
    dW: np.ndarray
class OfParameters(NamedTuple):
    weight: np.ndarray
    bias: np.ndarray
@dataclass
class Record:
    dX: np.ndarray
    dW: np.ndarray
    db: np.ndarray
class Plain:
    def __init__(self, **parts):
        for name, part in parts.items():
            setattr(self, name, part)
class Computed:
    def __init__(self, *parts):
        self._parts = parts
    @property
    def dX(self):
        return self._parts[0]
    @property
    def dW(self):
        return self._parts[1]
    @property
    def db(self):
        return self._parts[2]
    @property
    def broken(self):
        raise ValueError
def finished(a, b, c):
    return dict(dX=a, dW=b, db=c)
"""
PAIR = """
def affine_forward(X, W, b):
    return X @ W + b, (X, W)
def affine_backward(dY, cache):
    X, W = cache
    dX, dW, db = dY @ W.T, X.T @ dY, dY.sum(axis=0)
    {}
"""
CLASS = """
class Linear:
    def __init__(self, in_features, out_features):
        self.weight, self.bias = np.zeros((in_features, out_features)), np.zeros(out_features)
    def forward(self, x):
        self.x = x
        return x @ self.weight + self.bias
    def backward(self, grad):
        dX, dW, db = grad @ self.weight.T, self.x.T @ grad, grad.sum(axis=0)
        {}
"""
LOSS = """
def mse_loss(P, T):
    d = 2 * (P - T) / P.size
    {}
"""
ALL = ("X", "W", "b")
# How the gradients are handed back, right and wrong, and which are wrong then.
RESULTS = {
    "a named tuple": (PAIR, "return Grads(dX, dW, db)", "return Grads(dW, dX, db)", "XW"),
    "fields by name": (
        *(PAIR, "return Turned(dX=dX, dW=dW, db=db)", "return Turned(dX, dW, db)", "XWb"),
    ),
    "made of a list": (
        *(PAIR, "return Grads._make([dX, dW, db])", "return Grads._make([dX, dW, -db])", "b"),
    ),
    "fields that are letters": (
        *(PAIR, "return namedtuple('G', 'a b c')(dX, dW, db)"),
        *("return namedtuple('G', 'a b c')(dX, db, dW)", "Wb"),
    ),
    "letters of the layer": (
        *(PAIR, "return namedtuple('G', 'b W X')(db, dW, dX)"),
        *("return namedtuple('G', 'b W X')(dX, dW, db)", "Xb"),
    ),
    "under another name": (
        *(PAIR, "g = Turned(db, dX, dW)\n    return g", "g = Turned(dX, db, dW)\n    return g"),
        "Xb",
    ),
    "a dataclass": (PAIR, "return Record(dX, dW, db)", "return Record(dX, 2 * dW, db)", "W"),
    "a dataclass by name": (
        *(PAIR, "return Record(db=db, dX=dX, dW=dW)", "return Record(db=db, dX=dW, dW=dX)", "XW"),
    ),
    "a namespace": (
        *(PAIR, "return SimpleNamespace(dX=dX, dW=dW, db=db)"),
        *("return SimpleNamespace(dX=dX, dW=dW, db=-db)", "b"),
    ),
    "an object of its own": (
        *(PAIR, "return Plain(db=db, dW=dW, dX=dX)", "return Plain(db=db, dW=dX, dX=dW)", "XW"),
    ),
    "properties": (*(PAIR, "return Computed(dX, dW, db)", "return Computed(dX, -dW, db)", "W"),),
    "dict()": (
        *(PAIR, "return dict(dW=dW, dX=dX, db=db)", "return dict(dW=dX, dX=dW, db=db)", "XW"),
    ),
    "zipped": (
        *(PAIR, "return dict(zip(NAMES, (dX, dW, db)))", "return dict(zip(NAMES, (dW, dX, db)))"),
        "XW",
    ),
    "a comprehension": (
        *(PAIR, "return {n: g for n, g in zip(NAMES, (dX, dW, db))}"),
        *("return {n: -g for n, g in zip(NAMES, (dX, dW, db))}", "XWb"),
    ),
    "updated": (
        *(PAIR, "g = {'dX': dX}\n    g.update(dW=dW, db=db)\n    return g"),
        *("g = {'dX': dX}\n    g.update(dW=dW, db=2 * db)\n    return g", "b"),
    ),
    "step by step": (
        *(PAIR, "g = defaultdict(float)\n    g['dX'] += dX; g['dW'] += dW; g['db'] += db"),
        *("g = defaultdict(float)\n    g['dX'] += dX; g['dW'] -= dW; g['db'] += db", "W"),
    ),
    "as a dictionary": (
        *(PAIR, "return asdict(Record(dX, dW, db))", "return asdict(Record(dX, dW, db + db))", "b"),
    ),
    "an ordered one": (
        *(PAIR, "return OrderedDict(dX=dX, dW=dW, db=db)"),
        *("return OrderedDict(dX=dX, dW=-dW, db=db)", "W"),
    ),
    "of a helper": (PAIR, "return finished(dX, dW, db)", "return finished(dX, dW, -db)", "b"),
    "called like the variables": (
        *(PAIR, "return dict(X=dX, W=dW, b=db)", "return dict(X=dX, W=-dW, b=db)", "W"),
    ),
    "beside what is known": (
        *(PAIR, "return dX, dW, db, {'X': X, 'W': W}"),
        *("dW = -dW\n    return dX, dW, db, {'X': X, 'W': W}", "W"),
    ),
    "behind a size": (
        *(PAIR, "return {'n': len(X)}, dX, dW, db"),
        *("db = -db\n    return {'n': len(X)}, dX, dW, db", "b"),
    ),
    "beside the variables": (
        *(PAIR, "return {'dX': dX, 'dW': dW, 'db': db, 'X': X, 'W': W}"),
        *("return {'dX': dX, 'dW': dW, 'db': -db, 'X': X, 'W': W}", "b"),
    ),
    "one and a dictionary": (
        *(PAIR, "return dX, dict(dW=dW, db=db)", "return dX, dict(dW=dW, db=-db)", "b"),
    ),
    "one and a literal": (
        *(PAIR, "return dX, {'db': db, 'dW': dW}", "return -dX, {'db': db, 'dW': dW}", "X"),
    ),
    "one within another": (
        *(PAIR, "return dict(inputs=dX, parameters=dict(W=dW, b=db))"),
        *("return dict(inputs=dX, parameters=dict(W=dW, b=-db))", "b"),
    ),
    "one and a tuple": (
        *(PAIR, "rest = dW, db\n    return dX, rest", "rest = dW, -db\n    return dX, rest", "b"),
    ),
    "fields that say nothing": (
        *(PAIR, "return namedtuple('R', 'p q r')(dX, dW, db)"),
        *("return namedtuple('R', 'p q r')(dX, dW, -db)", "b"),
    ),
    "a method": (
        *(CLASS, "return dX, OfParameters(weight=dW, bias=db)"),
        *("return dX, OfParameters(weight=dW, bias=-db)", "b"),
    ),
    "a method's fields": (
        *(CLASS, "return dX, OfParameters(bias=db, weight=dW)"),
        *("return dX, OfParameters(db, dW)", "Wb"),
    ),
    "all of a method": (
        *(CLASS, "return dict(dW=dW, db=db, dX=dX)", "return dict(dW=dW, db=db, dX=-dX)", "X"),
    ),
    "kept in the object": (
        *(CLASS, "self.grads = OfParameters(dW, db); return dX"),
        *("self.grads = OfParameters(db, dW); return dX", "Wb"),
    ),
    "kept as a dictionary": (
        *(CLASS, "self.grads = dict(zip(('b', 'W'), (db, dW))); return dX"),
        *("self.grads = dict(zip(('b', 'W'), (db, -dW))); return dX", "W"),
    ),
}
LOSSES = {
    "dict()": ("return (d * d).sum() * P.size / 4, dict(dP=d)", "dict(dP=-d)"),
    "a named tuple": (
        "return (d * d).sum() * P.size / 4, namedtuple('G', 'dP')(d)",
        "namedtuple('G', 'dP')(-d)",
    ),
    "the gradient": ("return (d * d).sum() * P.size / 4, {'grad': d}", "{'grad': d / 2}"),
    "the gradient, zipped": (
        "return (d * d).sum() * P.size / 4, dict(zip(['gradient'], [d]))",
        "dict(zip(['gradient'], [-d]))",
    ),
    "beside the variable": (
        "return (d * d).sum() * P.size / 4, {'P': P, 'grad': d}",
        "{'P': P, 'grad': d / 2}",
    ),
    "beside the variable, zipped": (
        "return (d * d).sum() * P.size / 4, dict(zip(['grad', 'P'], [d, P]))",
        "dict(zip(['grad', 'P'], [-d, P]))",
    ),
    "called like the variable": ("return (d * d).sum() * P.size / 4, dict(P=d)", "dict(P=-d)"),
    "zipped": ("return (d * d).sum() * P.size / 4, dict(zip(['dP'], [d]))", "dict(dP=2 * d)"),
}


def code(shape: str, line: str) -> str:
    ends = "" if "return" in line else "\n    return g"
    return HEAD + shape.format(line + ends)


@pytest.mark.parametrize("way", RESULTS)
def test_right_results_pass_in_every_gradient(tmp_path: Path, way: str) -> None:
    shape, right, *_ = RESULTS[way]
    found = verdict_on(bundled("affine"), tmp_path, code(shape, right))
    assert [(g.name, g.standing) for g in found.gradients] == [(n, "ok") for n in ALL], found
    assert found.verdict == "pass"


@pytest.mark.parametrize("way", RESULTS)
def test_wrong_results_fail_in_what_is_wrong(tmp_path: Path, way: str) -> None:
    shape, _, wrong, which = RESULTS[way]
    found = verdict_on(bundled("affine"), tmp_path, code(shape, wrong))
    assert found.verdict == "fail"
    assert [g.name for g in found.gradients if g.standing == "wrong"] == list(which)
    assert [g.name for g in found.gradients if g.standing == "ok"] == [
        n for n in ALL if n not in which
    ]


@pytest.mark.parametrize("way", ["a named tuple", "dict()", "a dataclass by name", "a method"])
def test_they_are_read_so_where_no_layer_is_named(tmp_path: Path, way: str) -> None:
    shape, right, wrong, which = RESULTS[way]
    (found,) = verdicts(tmp_path, code(shape, right))
    assert (found.verdict, found.layer) == ("pass", "affine")
    (found,) = verdicts(tmp_path, code(shape, wrong))
    assert found.verdict == "fail"
    assert [g.name for g in found.gradients if g.standing == "wrong"] == list(which)


@pytest.mark.parametrize("way", LOSSES)
def test_the_gradients_of_a_loss_have_names_too(tmp_path: Path, way: str) -> None:
    # sum((2 (P - T) / n)**2) * n / 4 is mean((P - T)**2)
    right, other = LOSSES[way]
    found = verdict_on(bundled("mse"), tmp_path, code(LOSS, right))
    assert (found.verdict, [g.standing for g in found.gradients]) == ("pass", ["ok"]), found
    wrong = right.partition(", ")[0] + ", " + other
    found = verdict_on(bundled("mse"), tmp_path, code(LOSS, wrong))
    assert (found.verdict, [g.standing for g in found.gradients]) == ("fail", ["wrong"])


@pytest.mark.parametrize(
    "line",
    [
        "return dict(first=dX, second=dW, third=db)",
        "return dX, dict(first=dW, second=db)",
        "return dX, np.concatenate([dW, db[None]])",
    ],
)
def test_what_no_name_tells_is_refused_and_not_wrong(tmp_path: Path, line: str) -> None:
    found = verdict_on(bundled("affine"), tmp_path, code(PAIR, line))
    assert found.verdict == "error"
    assert found.trouble is not None
    assert "is the gradient of which variable? Say how it is called" in found.trouble.message


@pytest.mark.parametrize("kept", ["X, W, b", "dict(X=X, W=W, b=b)", "dict([('X', X)])", "X"])
def test_what_is_kept_for_a_backward_pass_is_no_gradient(tmp_path: Path, kept: str) -> None:
    text = f"def affine_forward(X, W, b):\n    kept = {kept}\n    return X @ W + b, kept\n"
    found = verdict_on(bundled("affine"), tmp_path, text)
    assert found.verdict == "error"
    assert not found.gradients


@pytest.mark.parametrize("line", ["return dict(dX=dX, dW=dW)", "return Plain(dW=dW, dX=dX)"])
def test_a_gradient_that_is_not_there_is_not_offered(tmp_path: Path, line: str) -> None:
    found = verdict_on(bundled("affine"), tmp_path, code(PAIR, line))
    assert found.verdict == "fail"
    assert [g.standing for g in found.gradients] == ["ok", "ok", "not offered"]


def test_a_list_of_numbers_is_one_array() -> None:
    assert parts_of([[1.0, 2.0], [3.0, 4.0]]) is None
    assert parts_of(([1.0, 2.0], 3.0)) is None


def test_a_worker_puts_no_code_into_a_snippet() -> None:
    """Names are no more than names, whatever a worker says."""
    names = Names.of(bundled("affine"))
    binding = Binding("", "Y, cache = f(X, W, b)", "dX, dW, db = g(dY, cache)", given={})
    parts = {"by": "name", "parts": [["dX; import os", None], ["dW", None], ["db", None]]}
    read = by_name(binding, {"g": parts}, names)
    assert read.backward is not None
    assert "import" not in read.backward
    assert read.backward.splitlines() == ["grads = g(dY, cache)", "dW = grads.dW", "db = grads.db"]


def test_a_text_of_the_spec_is_taken_as_it_is() -> None:
    """Who writes a check: block says which place is meant."""
    names = Names.of(bundled("affine"))
    stated = Binding("", "Y, cache = f(X, W, b)", "dX, dW, db = g(dY, cache)")
    parts = {"by": "name", "parts": [["dW", None], ["dX", None], ["db", None]]}
    assert by_name(stated, {"g": parts}, names) is stated


def test_two_that_are_open_are_not_guessed() -> None:
    names = Names.of(bundled("affine"))
    binding = Binding("", "Y = f(X, W, b)", "dX, returned0 = g(dY)", given={})
    with pytest.raises(NoMatch, match="which of the results"):
        by_name(binding, {}, names)
