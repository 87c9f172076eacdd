"""Printed formulas with conditions in them, executed by NumPy: what a reader pastes is right."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest

import gradtool
from gradtool.derive.truths import is_condition, with_numbers
from gradtool.emit.text import text
from gradtool.ir.tree import Name
from gradtool.spec.parse import Reader

HEAD = (
    "layer: f\ninputs:\n  X: [N]\nparameters:\n  Z: {shape: [N], constant: true}\n"
    "  m: {shape: [N], dtype: bool}\n  k: {shape: [N], dtype: bool}\n  W: [N, N]\nforward: |\n"
)


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        ("Y = X*m + X*k", lambda v: v["m"] * 1.0 + v["k"]),
        ("Y = X*m - X*k", lambda v: v["m"] * 1.0 - v["k"]),
        ("Y = relu(X) + X*(Z > 0)", lambda v: (v["X"] > 0) * 1.0 + (v["Z"] > 0)),
        ("Y = -X*m", lambda v: -1.0 * v["m"]),
        ("Y = X*(m & k) - relu(X)", lambda v: (v["m"] & v["k"]) * 1.0 - (v["X"] > 0)),
        ("Y = X*m + X*k + X*(Z > 0)", lambda v: v["m"] * 1.0 + v["k"] + (v["Z"] > 0)),
    ],
)
def test_what_is_printed_is_right_in_numpy(forward: str, expected: Any) -> None:
    spec = gradtool.load(f"{HEAD}  {forward}\n")
    printed = spec.derive().gradients["X"].text
    rng = np.random.default_rng(1)
    values = {
        "X": rng.standard_normal(64),
        "Z": rng.standard_normal(64),
        "m": rng.random(64) < 0.5,
        "k": rng.random(64) < 0.5,
        "dY": rng.standard_normal(64),
    }
    found = eval(printed, {"np": np, "N": 64, **values})
    np.testing.assert_allclose(found, values["dY"] * expected(values), atol=1e-12)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("(X > 0) + (Z > 0)", "1 * (X > 0) + (Z > 0)"),
        ("-(X > 0)", "-1 * (X > 0)"),
        ("(X > 0) @ m", "(1 * (X > 0)) @ m"),
        ("m * (X > 0) - m[::-1]", "1 * (m * (X > 0)) - m[::-1]"),
        ("einsum('i,i->', m, m)", "einsum('i,i->', 1 * m, m)"),
        ("X * (X > 0) + m", "X * (X > 0) + m"),
        ("(X > 0) @ X", "(X > 0) @ X"),
        ("1 - m", "1 - m"),
        ("m.sum() + m.sum()", "m.sum() + m.sum()"),
    ],
)
def test_only_conditions_among_themselves_become_numbers(formula: str, expected: str) -> None:
    tree = Reader([formula], {"X", "Z", "m"}).expression(ast.parse(formula, mode="eval").body)
    assert text(with_numbers(tree, {"m"})) == expected


def test_a_name_is_a_condition_when_its_array_is() -> None:
    assert is_condition(Name("m", truth=True))
    assert is_condition(Name("m"), {"m"})
    assert not is_condition(Name("m"))
