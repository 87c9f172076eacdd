"""A mistake is named by the change that makes the user's function right, proved by running it."""

from __future__ import annotations

import ast
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest

from gradtool.check.pair import check_pair
from gradtool.check.repairs.fix import Fix, apart
from gradtool.check.repairs.trial import CHOICE, Results, replaced, tried
from gradtool.check.repairs.weave import woven
from gradtool.check.result import Verdict
from gradtool.numeric.reference import reference_for
from gradtool.spec.load import load_text

SPEC = """
layer: gated
inputs:
  X: [N, D]
parameters:
  W: [D, H]
  b: [H]
forward: |
  A = X @ W + b
  Y = tanh(A)
"""
RIGHT = """
import numpy as np

def gated_forward(x, w, b):
    y = np.tanh(x @ w + b)
    return y, (x, w, y)

def gated_backward(dout, cache):
    x, w, y = cache
    da = dout * (1 - y ** 2)
    dw = x.T @ da
    db = da.sum(axis=0)
    return da @ w.T, dw, db
"""


def verdict(folder: Path, text: str) -> Verdict:
    file = folder / "gated.py"
    file.write_text(text)
    return check_pair(
        reference_for(load_text(SPEC, "gated.yaml")), file, seed=0, version="1"
    ).verdict


@pytest.mark.parametrize(
    ("right", "wrong", "code", "line"),
    [
        ("y ** 2", "y ** 3", "power", 10),
        ("dout * (1", "dout + (1", "operator", 10),
        ("dout * (1", "(1", "upstream-ignored", 10),
        ("x.T @ da", "x.T @ dout", "wrong-gradient", 11),
        ("axis=0", "axis=1", "wrong-axis", 12),
        ("da @ w.T", "-da @ w.T", "sign", 13),
    ],
)
def test_the_line_and_the_mistake(
    right: str, wrong: str, code: str, line: int, tmp_path: Path
) -> None:
    found = verdict(tmp_path, RIGHT.replace(right, wrong))
    told = [g for g in found.gradients if g.cause is not None]
    assert told
    assert {g.cause.code for g in told if g.cause is not None} == {code}
    assert {g.line for g in told} == {line}


def test_a_function_in_a_decorator(tmp_path: Path) -> None:
    wrapped = """
import functools
def logged(f):
    @functools.wraps(f)
    def inner(*arguments):
        return f(*arguments)
    return inner

@logged
def gated_backward"""
    text = RIGHT.replace("y ** 2", "y ** 3").replace("\ndef gated_backward", wrapped)
    found = verdict(tmp_path, text)
    assert {g.line for g in found.gradients} == {18}
    assert {g.cause.code for g in found.gradients if g.cause is not None} == {"power"}


def test_two_mistakes_in_two_gradients_are_two_causes(tmp_path: Path) -> None:
    text = RIGHT.replace("x.T @ da", "x.T @ dout").replace("da @ w.T", "-da @ w.T")
    found = {g.name: g for g in verdict(tmp_path, text).gradients if g.cause is not None}
    assert {n: g.line for n, g in found.items()} == {"X": 13, "W": 11}
    assert found["W"].cause is not None
    assert found["W"].cause.proof == "with da in place of dout it is right"


def test_a_loop_that_never_ends_is_left(tmp_path: Path) -> None:
    """A change of what a loop counts lets it run for ever; the right one is found all the same."""
    counted = """    dw = np.zeros_like(w)
    n = 0
    while n != len(x):
        dw -= np.outer(x[n], da[n])
        n += 1
"""
    found = verdict(tmp_path, RIGHT.replace("    dw = x.T @ da\n", counted))
    (told,) = [g for g in found.gradients if g.cause is not None]
    assert told.cause is not None
    assert (told.cause.code, told.line) == ("sign", 14)


def test_the_functions_are_as_they_were() -> None:
    def twice(x: float) -> float:
        return x + x

    def run() -> Results:
        return {}, {"X": twice(3.0)}

    assert isinstance(twice, FunctionType)
    node = ast.parse("def twice(x):\n    return x + x").body[0]
    assert isinstance(node, ast.FunctionDef)
    returned = node.body[0]
    assert isinstance(returned, ast.Return)
    total = returned.value
    assert isinstance(total, ast.BinOp)
    others = [ast.BinOp(total.left, op, total.right) for op in (ast.Sub(), ast.Mult())]
    text = woven(node, [(k, Fix(total, new, "operator", 1, "")) for k, new in enumerate(others)])
    with replaced([(twice, text)]) as done:
        assert done
        count, results = tried([twice], [-1, 0, 1], run, {"gradient X": ()}, 1.0)
    assert count == 3
    np.testing.assert_array_equal(results["gradient X"], [6.0, 0.0, 9.0])
    assert twice(3.0) == 6.0
    assert CHOICE not in twice.__globals__


def test_a_file_whose_text_is_not_what_runs_has_no_repairs(tmp_path: Path) -> None:
    """The functions are made by another one: there is nothing to change, and nothing breaks."""
    made = """
import numpy as np

def pair():
    def gated_forward(x, w, b):
        y = np.tanh(x @ w + b)
        return y, (x, w, y)

    def gated_backward(dout, cache):
        x, w, y = cache
        da = dout * (1 - y ** 2)
        return da @ w.T, x.T @ da, da.sum(axis=0) * 2
    return gated_forward, gated_backward

gated_forward, gated_backward = pair()
"""
    stated = SPEC + "check:\n  forward: Y, cache = gated_forward(X, W, b)\n"
    stated += "  backward: dX, dW, db = gated_backward(dY, cache)\n"
    file = tmp_path / "gated.py"
    file.write_text(made)
    reference = reference_for(load_text(stated, "gated.yaml"))
    found = check_pair(reference, file, seed=0, version="1").verdict
    assert {g.name: g.standing for g in found.gradients} == {"X": "ok", "W": "ok", "b": "wrong"}


_LONG = "grown[:, :, i * stride:i * stride + height, j * stride:j * stride + width]"


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("x = 1", "x = 2", ("x = 1", "x = 2")),
        (f"{_LONG} = a @ b", f"{_LONG} += a @ b", ("=", "+=")),
        (f"{_LONG} += a @ b", f"{_LONG} -= a @ b", ("+=", "-=")),
        (f"{_LONG} = f(a, b)", f"{_LONG} = f(a, b.T)", ("f(a, b)", "f(a, b.T)")),
    ],
)
def test_of_long_statements_the_difference_is_shown(
    old: str, new: str, shown: tuple[str, str]
) -> None:
    assert apart(ast.parse(old).body[0], (ast.parse(new).body[0],)) == shown


PAIRS_SPEC = """
layer: pairs
inputs:
  X: [N, D]
  y: {shape: [N], domain: binary, constant: true}
constants: {margin: 2.0}
forward: |
  d = sqrt(sum(X**2, axis=1) + 1e-6)
  L = 0.5 * mean(y * d**2 + (1 - y) * maximum(margin - d, 0)**2)
"""
PAIRS = """
import numpy as np

def pairs_loss(X, y, margin=2.0):
    d = np.sqrt((X ** 2).sum(axis=1) + 1e-6)
    hinge = np.maximum(margin - d, 0)
    loss = 0.5 * np.mean(y * d ** 2 + (1 - y) * hinge ** 2)
    n = len(y)
    dd = np.zeros(n)
    for i in range(n):
        place = 1 * n + i - n
        dd[place] = y[i] * d[i] - (1 - y[i]) * hinge[i]
    dd /= n
    ones = np.ones(n) * dd
    grads = {'dd': dd, 'dX': (ones / d)[:, None] * X}
    return loss, grads['dX']
"""


@pytest.mark.parametrize(
    ("right", "wrong", "code"),
    [
        # A hinge that is inactive in every sample at small sizes.
        ("(1 - y[i]) * hinge[i]", "(1 - y[i])", "missing-factor"),
        ("- (1 - y[i]) * hinge[i]", "+ (1 - y[i]) * hinge[i]", "sign"),
        ("dd /= n", "dd = dd", "sum-for-mean"),
        ("np.ones(n) * dd", "np.zeros(n) * dd", "constant"),
        ("{'dd': dd, 'dX': (ones / d)[:, None] * X}", "{'dd': (ones / d)[:, None] * X, 'dX': dd}",
         "wrong-gradient"),
        ("1 * n + i - n", "1 * n - i - n", "offset"),
    ],
)  # fmt: skip
def test_what_small_points_hold_is_not_all(
    right: str, wrong: str, code: str, tmp_path: Path
) -> None:
    assert PAIRS.count(right) == 1
    file = tmp_path / "pairs.py"
    file.write_text(PAIRS.replace(right, wrong))
    reference = reference_for(load_text(PAIRS_SPEC, "pairs.yaml"))
    (gradient,) = check_pair(reference, file, seed=0, version="1").verdict.gradients
    assert gradient.cause is not None
    assert gradient.cause.code == code, gradient.cause
