"""The forward pass, too, is held to the spec at large, tiny, equal and zero values.

The wrong files are other functions (relu6 for relu, a loss with a largest value), or treat ties
and zeros apart; beside each stands right code of the same kind.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from gradtool.check.result import Verdict
from gradtool.numeric.reference import DerivedReference
from tests.layers import verdict_on, written

SPECS = {
    "relu": "inputs: {X: [N, D]}\nforward: Y = relu(X)",
    "sigmoid": "inputs: {X: [N, D]}\nforward: Y = sigmoid(X)",
    "mse": "inputs: {X: [N, D], T: [N, D]}\nforward: L = mean((X - T)**2)\n"
    "check: {forward: 'L, dX = mse_loss(X, T)', gradients: [X]}",
    "entropy": "inputs: {S: [N, C], y: {shape: [N], index: C}}\n"
    "forward: L = -mean(log(softmax(S)[arange(N), y]))",
    "log_cosh": "inputs: {X: [N, D]}\nforward: L = sum(softplus(2*X) - X)",
    "unit": "inputs: {X: [N, D]}\nforward: Y = X / sqrt(sum(X**2, axis=1, keepdims=True))",
    "top": "inputs: {X: [N, D]}\nforward: Y = max(X, axis=1)",
    "step": "inputs: {X: [N, D]}\nforward: Y = where(X > 0, X + 1, X)",
    "selu": "inputs: {X: [N, D]}\nforward: Y = where(X > 0, X, 2 * (exp(X) - 1))",
    "softplus": "inputs: {X: [N, D]}\nforward: Y = softplus(X)",
    "brier": "inputs: {p: {shape: [N, D], domain: [0, 1]}, T: [N, D]}\n"
    "forward: L = mean((p - T)**2)\n"
    "check: {forward: 'L, dp = brier_loss(p, T)', gradients: [p]}",
}
ELEMENTWISE = """
def {name}_forward(X):
    return {value}, X
def {name}_backward(dY, X):
    return dY * ({slope})
"""
TOP = """
def top_forward(X):
    hit = X == X.max(axis=1, keepdims=True)
    return {value}, (X.shape, X.argmax(axis=1))
def top_backward(dY, cache):
    shape, place = cache
    dX = np.zeros(shape)
    dX[np.arange(shape[0]), place] = dY
    return dX
"""
MSE = """
def mse_loss(X, T):
    E = X - T
    return {value}, 2 * E / E.size
"""
ENTROPY = """
def entropy_loss(S, y):
    n = np.arange(len(y))
    {scores}
    P = np.exp(S - S.max(axis=1, keepdims=True))
    P = P / P.sum(axis=1, keepdims=True)
    L = -np.log({p}[n, y]).mean()
    P[n, y] -= 1
    return L, P / len(y)
"""
BRIER = """
def brier_loss(p, T):
    p = np.clip(p, {low}, {high})
    E = p - T
    return (E**2).mean(), 2 * E / E.size
"""
LOG_COSH = """
def log_cosh_loss(X):
    return np.sum({value}), np.tanh(X)
"""
UNIT = """
def unit_forward(X):
    r = np.linalg.norm(X, axis=1, keepdims=True)
    return X / {floor}, (X / r, r)
def unit_backward(dY, cache):
    Y, r = cache
    return (dY - Y * (dY * Y).sum(axis=1, keepdims=True)) / r
"""


def elementwise(name: str, value: str, slope: str) -> str:
    return ELEMENTWISE.format(name=name, value=value, slope=slope)


SIGMA = "1 / (1 + np.exp(-X))"
WRONG = [
    ("relu", elementwise("relu", "np.clip(X, 0, 6)", "X > 0"), "at large inputs"),
    ("relu", elementwise("relu", "np.where(X > 8, 8.5, np.maximum(X, 0))", "X > 0"),
     "right until the largest value reaches "),
    ("relu", elementwise("relu", "np.maximum(X, 0) * (abs(X).max() > .02)", "X > 0"),
     "right until the largest value shrinks to"),
    ("sigmoid", elementwise("sigmoid", "1 / (1 + np.exp(-np.clip(X, -5, 5)))",
     f"{SIGMA} * (1 - {SIGMA})"), "at large inputs"),
    # Of the few values that are drawn at the first sizes, none is large enough.
    ("relu", elementwise("relu", "np.clip(X, 0, 50)", "X > 0"), "at large inputs"),
    ("mse", MSE.format(value="min((E**2).mean(), 100.0)"), "at large inputs"),
    ("unit", UNIT.format(floor="np.maximum(r, 0.02)"), "at tiny values"),
    ("top", TOP.format(value="(X * hit).sum(axis=1)"), "where compared values are equal"),
    ("selu", elementwise("selu", "np.where(X == 0, 1.0, np.where(X > 0, X, 2 * np.expm1(X)))",
     "np.where(X > 0, 1, 2 * np.exp(X))"), "where compared values are equal"),
    ("step", elementwise("step", "np.where(X > 0, X + 1, np.where(X == 0, 9, X))", "1"),
     "outside of what the choices there give"),
    ("softplus", elementwise("softplus", "np.where(X == 0, 0, np.logaddexp(0, X))", SIGMA),
     "wrong where"),
]  # fmt: skip


@cache
def reference(name: str) -> DerivedReference:
    return written(name, SPECS[name])


def checked(folder: Path, name: str, text: str, seed: int) -> Verdict:
    text = f"import numpy as np\n{text}"
    return verdict_on(reference(name), folder, text, seed=seed, explain=True)


@pytest.mark.parametrize(("name", "text", "said"), WRONG)
@pytest.mark.parametrize("seed", range(2))
def test_a_forward_that_is_another_one_somewhere(
    tmp_path: Path, name: str, text: str, said: str, seed: int
) -> None:
    verdict = checked(tmp_path, name, text, seed)
    (output,) = verdict.forward
    assert (verdict.verdict, output.standing, output.cause) == ("fail", "wrong", None)
    assert said in output.message
    assert output.worst is not None
    assert output.worst.error > output.worst.bound
    assert [g.standing for g in verdict.gradients] == ["ok"]


@pytest.mark.parametrize(
    ("name", "text", "remarked"),
    [
        ("relu", elementwise("relu", "np.clip(X, 0, None)", "X > 0"), set()),
        ("sigmoid", elementwise("sigmoid", "1 / (1 + np.exp(-np.clip(X, -500, 500)))",
         f"{SIGMA} * (1 - {SIGMA})"), set()),
        ("mse", MSE.format(value="(E**2).mean()"), set()),
        ("entropy", ENTROPY.format(scores="", p="P"), set()),
        ("entropy", ENTROPY.format(scores="", p="np.maximum(P, 1e-12)"), {"guard"}),
        ("entropy", ENTROPY.format(scores="", p="np.clip(P, 1e-15, 1 - 1e-15)"), {"guard"}),
        ("log_cosh", LOG_COSH.format(value="np.log(np.exp(X) + np.exp(-X))"), {"overflow"}),
        ("unit", UNIT.format(floor="np.maximum(r, 1e-12)"), set()),
        ("top", TOP.format(value="X.max(axis=1)"), set()),
        ("top", TOP.format(value="(X * hit).sum(axis=1) / hit.sum(axis=1)"), set()),
        # As libraries have it: the threshold leaves off what is 2e-9 there.
        ("softplus", elementwise("softplus",
         "np.where(X > 20, X, np.log1p(np.exp(np.minimum(X, 20))))",
         "np.where(X > 20, 1, 1 / (1 + np.exp(-X)))"), {"overflow"}),
        # The ends of the domain reach a guard that moves nothing else.
        ("brier", BRIER.format(low="1e-7", high="1 - 1e-7"), {"guard"}),
        # Where the layer jumps, either side is right.
        ("step", elementwise("step", "np.where(X > 0, X + 1, X)", "1"), set()),
        ("step", elementwise("step", "np.where(X >= 0, X + 1, X)", "1"), set()),
        ("softplus", elementwise("softplus", "np.log(1 + np.exp(X))", SIGMA), {"overflow"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", range(2))
def test_right_forwards_pass(
    tmp_path: Path, name: str, text: str, remarked: set[str], seed: int
) -> None:
    verdict = checked(tmp_path, name, text, seed)
    assert verdict.verdict == "pass", verdict
    assert {r.code for r in verdict.remarks} <= remarked | {"digits"}


NOT_NUMBERS = {
    "None": "is None: nothing was computed for it",
    "'too large'": "is text ('too large')",
    "np.zeros(7)": "has shape (7,), should be (N, D)",
    "object()": "is no array of numbers (object)",
}


@pytest.mark.parametrize("returned", NOT_NUMBERS)
@pytest.mark.parametrize(
    ("condition", "said"),
    [("abs({}).max() > 30", "at large inputs"), ("abs({}).max() < .02", "at tiny values")],
)
@pytest.mark.parametrize("role", ["forward", "backward"])
def test_what_is_no_array_of_numbers_somewhere_is_wrong_there(
    tmp_path: Path, returned: str, condition: str, said: str, role: str
) -> None:
    text = elementwise("relu", "np.maximum(X, 0)", "X > 0")
    if role == "forward":
        line = f"    if {condition.format('X')}:\n        return {returned}, X\n"
        text = text.replace("    return np.maximum", f"{line}    return np.maximum")
    else:
        line = f"    if {condition.format('X')}:\n        return {returned}\n"
        text = text.replace("    return dY", f"{line}    return dY")
    verdict = checked(tmp_path, "relu", text, 0)
    rows = [*verdict.forward, *verdict.gradients]
    (row,) = [row for row in rows if row.standing == "wrong"]
    assert row.name == ("Y" if role == "forward" else "X")
    assert NOT_NUMBERS[returned] in row.message
    assert f"right at random values, wrong {said}" in row.message


def test_what_is_no_array_of_numbers_where_values_are_huge_is_told(tmp_path: Path) -> None:
    text = elementwise("softplus", "np.logaddexp(0, X)", "1 / (1 + np.exp(-X))")
    line = "    if abs(X).max() > 1e3:\n        return None\n    return dY"
    verdict = checked(tmp_path, "softplus", text.replace("    return dY", line), 0)
    assert verdict.verdict == "pass"
    told = [remark.message for remark in verdict.remarks]
    assert told == ["at huge inputs dX is None: nothing was computed for it"]


def test_an_overflow_is_told_of_all_arrays_at_once(tmp_path: Path) -> None:
    text = elementwise("softplus", "np.log(1 + np.exp(X))", "np.exp(X) / (1 + np.exp(X))")
    (remark,) = checked(tmp_path, "softplus", text, 0).remarks
    assert remark.message == "Y, dX are not finite at huge inputs: they overflow"


@pytest.mark.parametrize("slope", ["(X > 0) & (X < 6)", "(X > 0) * np.where(X < 6, 1.0, 0.0)"])
def test_a_gradient_that_follows_such_a_forward_is_not_told_twice(
    tmp_path: Path, slope: str
) -> None:
    verdict = checked(tmp_path, "relu", elementwise("relu", "np.clip(X, 0, 6)", slope), 0)
    assert verdict.verdict == "fail"
    assert [c.standing for c in (*verdict.forward, *verdict.gradients)] == ["wrong", "follows"]
