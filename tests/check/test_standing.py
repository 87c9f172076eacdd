"""At large and tiny values a cut-off is wrong; digits that are lost, and guards, are not.

What is right is the formula of the spec in decimals of many digits, or known by heart: the code
beside it is what textbooks and courses write.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gradtool.check.noise import RUNS, is_systematic
from gradtool.check.result import Verdict
from gradtool.numeric.reference import DerivedReference
from tests.layers import verdict_on, written

SPECS = {
    "softmax": "inputs: {S: [N, C]}\nforward: P = softmax(S, axis=1)",
    "unit": "inputs: {X: [N, D]}\nforward: Y = X / sqrt(sum(X**2, axis=1, keepdims=True))",
    "elu": "inputs: {X: [N, D]}\nforward: Y = where(X > 0, X, exp(X) - 1)",
    "kl": "inputs: {m: [N, D], v: [N, D]}\nforward: L = sum(m**2 + exp(v) - v) / N",
    "cross_entropy": (
        "inputs: {S: [N, C], y: {shape: [N], index: C}}\n"
        "forward: L = -mean(log(softmax(S)[arange(N), y]))"
    ),
    "scaled": "inputs: {X: [N, D]}\nforward: Y = exp(X) * softplus(-X)",
    "logistic": (
        "inputs: {X: [N, D], y: {shape: [N, D], domain: binary, constant: true}}\n"
        "forward: L = sum(softplus(X) - y * X)"
    ),
}

SOFTMAX = """
def softmax_forward(S):
    E = np.exp(S - S.max(axis=1, keepdims=True))
    P = E / E.sum(axis=1, keepdims=True)
    return P, (S, P)
def softmax_backward(dP, cache):
    S, P = cache
    CHANGE
    return P * (dP - (dP * P).sum(axis=1, keepdims=True))
"""
UNIT = """
def unit_forward(X):
    r = np.linalg.norm(X, axis=1, keepdims=True)
    return X / r, (X / r, r)
def unit_backward(dY, cache):
    Y, r = cache
    CHANGE
    return (dY - Y * (dY * Y).sum(axis=1, keepdims=True)) / r
"""
ELU = """
def elu_forward(X):
    return np.where(X > 0, X, np.expm1(np.minimum(X, 0))), X
def elu_backward(dY, X):
    return dY * np.where(X > 0, 1, np.exp(np.clip(X, LOW, 0)))
"""
KL = """
def kl_loss(m, v):
    L = (m ** 2 + np.exp(v) - v).sum() / len(m)
    CHANGE
    return L, 2 * m / len(m), (np.exp(v) - 1) / len(m)
"""
# The gradient by the chain rule through log and softmax, as the text of a course has it.
CROSS_ENTROPY = """
def cross_entropy_loss(S, y):
    n = np.arange(len(y))
    E = np.exp(S - S.max(axis=1, keepdims=True))
    P = E / E.sum(axis=1, keepdims=True)
    p = GUARDED
    L = -np.log(P[n, y]).sum() / len(y)
    dP = np.zeros_like(P)
    dP[n, y] = -1 / p[n, y] / len(y)
    return L, P * (dP - (dP * P).sum(axis=1, keepdims=True))
"""
SCALED = """
def scaled_forward(X):
    return np.exp(X) * np.log(1 + np.exp(-X)), X
def scaled_backward(dY, X):
    return dY * (np.exp(X) * np.log(1 + np.exp(-X)) - np.exp(X) / (1 + np.exp(X)))
"""
LOGISTIC = """
def logistic_loss(X, y):
    s = 1 / (1 + np.exp(-CUT))
    return np.sum(np.logaddexp(0, X) - y * X), s - y
"""


@cache
def reference(name: str) -> DerivedReference:
    return written(name, SPECS[name])


def checked(folder: Path, name: str, text: str, seed: int) -> Verdict:
    text = f"import numpy as np\n{text}"
    return verdict_on(reference(name), folder, text, seed=seed)


@pytest.mark.parametrize(
    ("name", "text", "wrong", "where"),
    [
        ("softmax", SOFTMAX.replace("CHANGE", "P = np.exp(np.clip(S, -6, 6)); "
         "P = P / P.sum(axis=1, keepdims=True)"), {"S"}, "large inputs"),
        ("unit", UNIT.replace("CHANGE", "r = np.maximum(r, 0.1)"), {"X"}, "tiny values"),
        ("elu", ELU.replace("LOW", "-6"), {"X"}, "large inputs"),
        ("kl", KL.replace("CHANGE", "v = np.clip(v, -5, 5)"), {"v"}, "large inputs"),
        ("logistic", LOGISTIC.replace("CUT", "np.clip(X, -6, 6)"), {"X"}, "large inputs"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", range(3))
def test_a_cut_off_is_no_loss_of_digits(
    tmp_path: Path, name: str, text: str, wrong: set[str], where: str, seed: int
) -> None:
    verdict = checked(tmp_path, name, text, seed)
    assert verdict.verdict == "fail"
    found = [g for g in verdict.gradients if g.standing == "wrong"]
    assert {g.name for g in found} == wrong
    assert all(g.message == f"right at random values, wrong at {where}" for g in found)


@pytest.mark.parametrize(
    ("name", "text", "remarked"),
    [
        ("softmax", SOFTMAX.replace("CHANGE", ""), set()),
        ("unit", UNIT.replace("CHANGE", "r = np.maximum(r, 1e-12)"), set()),
        ("elu", ELU.replace("LOW", "-500"), set()),
        ("kl", KL.replace("CHANGE", ""), set()),
        # 1 / p is not finite where p is 0: the guard keeps it from that, and p / p is 0 there.
        ("cross_entropy", CROSS_ENTROPY.replace("GUARDED", "np.maximum(P, 1e-16)"), {"guard"}),
        ("cross_entropy", CROSS_ENTROPY.replace("GUARDED", "np.clip(P, 1e-14, None)"), {"guard"}),
        ("cross_entropy", CROSS_ENTROPY.replace("GUARDED", "P"), set()),
        # Every digit is lost where X is 37 and more: 0 in place of 1, at all large values.
        ("scaled", SCALED, {"digits", "overflow"}),
        ("logistic", LOGISTIC.replace("CUT", "np.clip(X, -500, 500)"), set()),
        ("logistic", LOGISTIC.replace("CUT", "np.clip(X, -20, 20)"), {"digits"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", range(3))
def test_lost_digits_and_guards_are_remarks(
    tmp_path: Path, name: str, text: str, remarked: set[str], seed: int
) -> None:
    verdict = checked(tmp_path, name, text, seed)
    assert verdict.verdict == "pass", verdict
    assert {r.code for r in verdict.remarks} - {"overflow"} <= remarked


def test_a_mean_that_is_no_chance() -> None:
    rng = np.random.default_rng(0)
    everywhere = np.ones(1000, dtype=bool)
    noise = rng.standard_normal((RUNS, 1000))
    assert not is_systematic(noise, everywhere)
    noise[:, 7] = 3 + 0.1 * noise[:, 7]
    assert is_systematic(noise, everywhere)
    assert not is_systematic(noise, everywhere & (np.arange(1000) != 7))
    assert is_systematic(np.ones((RUNS, 1)), np.array([True]))
