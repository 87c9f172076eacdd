"""A near miss is suggested when it is near, and nothing when it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradtool.spec.suggest import did_you_mean, edits, nearest

WORDS = ["softmax", "log_softmax", "sigmoid", "sum", "W", "b", "inputs", "positive-definite"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sofmtax", "softmax"),
        ("Sigmoid", "sigmoid"),
        ("input", "inputs"),
        ("positive_definite", "positive-definite"),
        ("smu", "sum"),
        ("w", "W"),
        ("x", None),
        ("relu", None),
        ("", None),
    ],
)
def test_the_nearest_name(name: str, expected: str | None) -> None:
    assert nearest(name, WORDS) == expected


def test_a_hint_lists_the_names_only_when_they_are_few() -> None:
    assert did_you_mean("relu", ["a", "b"]) == "known here: a, b"
    assert did_you_mean("relu", [f"name{k}" for k in range(40)]) == ""
    assert did_you_mean("relu", []) == ""


@given(st.text("abc", max_size=7), st.text("abc", max_size=7))
def test_the_distance_is_symmetric_and_zero_only_for_equal_words(left: str, right: str) -> None:
    assert edits(left, right) == edits(right, left)
    assert (edits(left, right) == 0) == (left == right)
    assert abs(len(left) - len(right)) <= edits(left, right) <= max(len(left), len(right))
