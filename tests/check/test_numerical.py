"""Who is right by differences is told so; who is right by a formula is not.

What is a difference is known from how the code was written: most of it is the suite of hostile
submissions, whose grades are stated beside each.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from gradtool.check.result import Verdict
from gradtool.numeric.reference import DerivedReference
from tests.layers import bundled, verdict_on, verdicts, written
from tests.lint.hostile import forbidden, honest
from tests.lint.hostile.model import Case

PINNED = """\
inputs: {X: [N, D]}
parameters: {W: [D, C], b: [C]}
sizes: {N: 3, D: 4, C: 2}
"""
HEAD = """\
from decimal import Decimal, getcontext
from fractions import Fraction
import numpy as np
getcontext().prec = 60

def exact(array, number):
    found = np.empty(array.shape, dtype=object)
    for i in np.ndindex(array.shape):
        found[i] = number(float(array[i]))
    return found
"""
AFFINE = """
def affine_forward(X, W, b):
    return X @ W + b, (X, W, b)
def affine_backward(dY, cache):
    up, h, found = exact(dY, NUMBER), STEP, []
    values = [exact(a, NUMBER) for a in cache]
    for a in values:
        g = np.zeros(a.shape)
        for i in np.ndindex(a.shape):
            old = a[i]
            a[i] = old + h
            ahead = ((values[0] @ values[1] + values[2]) * up).sum()
            a[i] = old - h
            behind = ((values[0] @ values[1] + values[2]) * up).sum()
            a[i] = old
            g[i] = float((ahead - behind) / (2 * h))
        found.append(g)
    return tuple(found)
"""
SIGMOID = """
def sigmoid_forward(Z):
    A = 1 / (1 + np.exp(-Z))
    return A, (Z, A)
def sigmoid_backward(dA, cache):
    Z, A = cache
    BODY
"""
RICHARDSON = """def slope(h):
        return (1 / (1 + np.exp(-z - h)) - 1 / (1 + np.exp(-z + h))) / (2 * h)
    z = Z.astype(np.longdouble)
    h = np.longdouble(2) ** -8
    s = [slope(h / 2**k) for k in range(5)]
    for k in range(1, 5):
        s = [(4**k * b - a) / (4**k - 1) for a, b in zip(s, s[1:])]
    return (dA * s[0]).astype(float)"""
STENCIL = """C = [6/7, -15/56, 5/63, -1/56, 1/385, -1/5544]
    def s(k):
        return 1 / (1 + np.exp(-(Z + k / 16)))
    return dA * sum(c * (s(k + 1) - s(-k - 1)) for k, c in enumerate(C)) * 16"""
CAUCHY = """t = np.exp(2j * np.pi * np.arange(64) / 64)
    return dA * np.mean([2 / (1 + np.exp(-(Z + z / 2))) / z for z in t], axis=0).real"""
REFUSING = (
    "assert Z.dtype == float\n    "
    + """return dA * np.reshape([
        (1 / (1 + np.exp(-(Z + 1e-30j * e)))).imag.sum() / 1e-30
        for e in np.eye(Z.size).reshape(-1, *Z.shape)
    ], Z.shape)"""
)
PLANE = "return dA * (1 / (1 + np.exp(-Z - 1e-30j))).imag / 1e-30"
PLAIN = "return dA * A * (1 - A)"
LONG = "return (dA * (A.astype(np.longdouble) * (1 - A.astype(np.longdouble)))).astype(float)"


@cache
def small() -> DerivedReference:
    """Without sizes of a thousand, for code that is slow in numbers with many digits."""
    return written("affine", f"{PINNED}forward: Y = X @ W + b")


def told(verdict: Verdict) -> list[str]:
    return [remark.message for remark in verdict.remarks if remark.code == "differences"]


def case_of(cases: tuple[Case, ...], name: str) -> str:
    """The text of a case that is one file."""
    (case,) = (one for one in cases if one.name == name)
    (text,) = case.files.values()
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize(
    ("number", "step", "seconds"),
    [("Decimal", "Decimal(10) ** -20", 10), ("Fraction", "Fraction(1, 10**20)", 3)],
)
def test_differences_of_numbers_with_more_digits(
    tmp_path: Path, number: str, step: str, seconds: float
) -> None:
    text = HEAD + AFFINE.replace("NUMBER", number).replace("STEP", step)
    verdict = verdict_on(small(), tmp_path, text, seconds=seconds)
    assert verdict.verdict == "pass"
    (remark,) = told(verdict)
    assert "difference of nearly equal numbers, not a formula" in remark


@pytest.mark.parametrize(
    "body",
    [RICHARDSON, PLANE, REFUSING, STENCIL, CAUCHY],
    ids=["longdouble", "complex", "refusing", "stencil", "cauchy"],
)
def test_differences_of_arrays(tmp_path: Path, body: str) -> None:
    text = HEAD + SIGMOID.replace("BODY", body)
    verdict = verdict_on(bundled("sigmoid"), tmp_path, text)
    assert verdict.verdict == "pass"
    assert len(told(verdict)) == 1
    found = [one for one in verdicts(tmp_path, text) if one.verdict == "pass"]
    assert found
    assert all(len(told(one)) == 1 for one in found)  # which layer was looked for matters not


def test_a_layer_with_centers_of_its_own(tmp_path: Path) -> None:
    reference = written(
        "bumps",
        "inputs: {x: [N]}\nparameters: {w: [K]}\nsizes: {K: 12}\n"
        "forward: Y = tanh(x[:, None] - (arange(K) - 5.5)) @ w",
    )
    text = """
import numpy as np
def bumps_forward(x, w):
    t = np.tanh(x[:, None] - (np.arange(12) - 5.5))
    return t @ w, (x, w, t)
def bumps_backward(dY, cache):
    x, w, t = cache
    dx = sum(dY * w[k] * (1 - np.tanh(x - (k - 5.5)) ** 2) for k in range(12))
    return dx, t.T @ dY
"""
    verdict = verdict_on(reference, tmp_path, text)
    assert verdict.verdict == "pass"
    assert not told(verdict)


@pytest.mark.parametrize("body", [PLAIN, LONG], ids=["float64", "longdouble"])
def test_a_formula_is_none(tmp_path: Path, body: str) -> None:
    text = HEAD + SIGMOID.replace("BODY", body)
    verdict = verdict_on(bundled("sigmoid"), tmp_path, text)
    assert verdict.verdict == "pass"
    assert told(verdict) == []


@pytest.mark.parametrize(
    "name",
    [
        "central_large",
        "central_when_read",
        "central_one_inline",
        "central_fractions",
        "central_longer",
        "extrapolated_longer",
        "unnamed_longer",
        "complex_step",
        "complex_copied",
        "complex_batched",
    ],
)
def test_what_is_graded_as_differences_is_told(tmp_path: Path, name: str) -> None:
    reference = small() if name.endswith("fractions") else bundled("affine")
    verdict = verdict_on(reference, tmp_path, case_of(forbidden.CASES, f"forbidden_{name}"))
    assert verdict.verdict == "pass"
    assert told(verdict)


SINGLE = [
    case.name
    for case in honest.CASES
    if list(case.files) == [f"{case.name}.py"] and isinstance(case.files[f"{case.name}.py"], str)
]


@pytest.mark.parametrize("name", SINGLE)
def test_what_is_graded_as_right_is_not(tmp_path: Path, name: str) -> None:
    verdict = verdict_on(bundled("affine"), tmp_path, case_of(honest.CASES, name))
    assert told(verdict) == []
