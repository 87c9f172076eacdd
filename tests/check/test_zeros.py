"""What is right at random values and wrong at exact zeros is wrong, where there is a derivative."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from gradtool.check.pair import check_pair
from gradtool.check.result import Verdict
from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.spec.load import load_text

LAYERS = {
    "cube": "layer: cube\ninputs: {X: [N, D]}\nforward: Y = X**3 + 2*X\n",
    "gate": "layer: gate\ninputs: {X: [N, D]}\nparameters: {g: [D]}\nforward: Y = g * X\n",
    "unit": "layer: unit\ninputs: {X: [N, D]}\nforward: |\n"
            "  n = sqrt(sum(X**2, axis=1, keepdims=True))\n  Y = X / n\n",
    "relu": "layer: relu\ninputs: {X: [N, D]}\nforward: Y = relu(X)\n",
}  # fmt: skip
FORWARDS = {
    "cube": "x**3 + 2*x",
    "gate": "g * x",
    "unit": "x / np.sqrt((x**2).sum(1, keepdims=True))",
    "relu": "np.maximum(x, 0)",
}


@cache
def layer(name: str) -> DerivedReference:
    given = "X, g" if name == "gate" else "X"
    grads = "dX, dg" if name == "gate" else "dX"
    text = (
        f"{LAYERS[name]}check:\n  forward: Y, cache = forward({given})\n"
        f"  backward: {grads} = backward(dY, cache)\n"
    )
    found = reference_for(load_text(text, f"{name}.yaml"), lambda _: None)
    assert isinstance(found, DerivedReference)
    return found


def verdict(folder: Path, name: str, *lines: str) -> Verdict:
    given = "x, g" if name == "gate" else "x"
    file = folder / "hw.py"
    body = "".join(f"    {line}\n" for line in lines)
    cache_ = f"({given}, y)"
    file.write_text(
        f"import numpy as np\ndef forward({given}):\n    y = {FORWARDS[name]}\n"
        f"    return y, {cache_}\ndef backward(dy, cache):\n    {given}, y = cache\n{body}"
    )
    return check_pair(layer(name), file, seed=0, version="", explain=False).verdict


RIGHT = [
    ("cube", "return dy * (3*x**2 + 2)"),
    ("gate", "return dy * g, (dy * x).sum(0)"),
    # A choice at the kink is free.
    ("relu", "return dy * (x >= 0)"),
    # The layer has no derivative at a row of zeros, and so nothing is asked of the code there.
    ("unit", "n = np.sqrt((x**2).sum(1, keepdims=True))",
     "return (dy - y * (dy * y).sum(1, keepdims=True)) / n"),
]  # fmt: skip


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case[0])
def test_right_code_is_right_at_zeros(tmp_path: Path, case: tuple[str, ...]) -> None:
    found = verdict(tmp_path, *case)
    assert (found.verdict, found.remarks) == ("pass", ())


WRONG = [
    ("cube", "where some entries are 0", "return dy * (3*x**2 + 2) * (x != 0)"),
    ("cube", "where some entries are 0", "return dy * (3*x**2 + 2 * np.sign(x)**2)"),
    ("cube", "where some entries are 0", "return np.where(dy == 0, 1.0, dy * (3*x**2 + 2))"),
    ("cube", "where every input is 0", "return dy * (3*x**2 + 2) if x.any() else 0 * x"),
    ("gate", "where some entries are 0", "return dy * g, (dy * x).sum(0) * (g != 0)"),
]


@pytest.mark.parametrize(("name", "said", "line"), WRONG)
def test_what_is_wrong_at_zeros_alone_is_wrong(
    tmp_path: Path, name: str, said: str, line: str
) -> None:
    found = verdict(tmp_path, name, line)
    assert found.verdict == "fail"
    (wrong,) = (g for g in found.gradients if g.standing == "wrong")
    assert f"right at random values, wrong {said}" in wrong.message
    assert wrong.worst is not None


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("cube", "return dy * (3*y/x - 4)"),  # 3 x**2 + 2
        ("gate", "return dy * g, (dy * (y / g)).sum(0)"),
    ],
)
def test_a_division_by_what_may_be_zero_is_a_remark(tmp_path: Path, name: str, line: str) -> None:
    found = verdict(tmp_path, name, line)
    assert found.verdict == "pass"
    told = [r.message for r in found.remarks if r.code == "zeros"]
    assert told
    assert all("is not finite where" in text for text in told)


def test_an_exception_at_zeros_is_a_remark(tmp_path: Path) -> None:
    found = verdict(tmp_path, "cube", "assert x.all(), 'a zero'", "return dy * (3*x**2 + 2)")
    assert found.verdict == "pass"
    told = [r.message for r in found.remarks if r.code == "zeros"]
    assert told == [
        "where some entries are 0 the code raises AssertionError: a zero",
        "where every input is 0 the code raises AssertionError: a zero",
    ]
