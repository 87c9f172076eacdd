"""``W,b`` is two names; ``x=-2,w=[1, [2]]`` is a point; anything else is told, never evaluated."""

from __future__ import annotations

import pytest

from gradtool.report import arguments
from gradtool.spec.usage import UsageError


def test_names_keep_their_order_and_come_once() -> None:
    assert arguments.names(["W, b", "X,W"], "--wrt") == ("W", "b", "X")


@pytest.mark.parametrize("text", ["", " ", "W,", ",W", "W,,b"])
def test_an_empty_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="found an empty one"):
        arguments.names([text], "--wrt")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=-2,y=5,z=4", {"x": -2, "y": 5, "z": 4}),
        (" x = +1.5e-3 ", {"x": 1.5e-3}),
        ("w=[0.5, -1], b=[]", {"w": [0.5, -1], "b": []}),
        ("X=[[1,2],[3,4]]", {"X": [[1, 2], [3, 4]]}),
        ("S=1,N=2,E=3", {"S": 1, "N": 2, "E": 3}),
        ("point=1", {"point": 1}),
        ("x=1 # a comment, as in Python", {"x": 1}),
    ],
)
def test_points(text: str, expected: dict[str, arguments.Value]) -> None:
    assert arguments.point([text], "--at") == expected


def test_a_point_may_be_given_in_parts() -> None:
    assert arguments.point(["x=1", "y=2"], "--at") == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "x=",
        "=1",
        "x=1,,y=2",
        "x=1) + point(y=2",
        "x=1)(y=2",
        "**x",
        "1=x",
        "x=1\0",
        "x=" + "[" * 5000,
        "x=1,x=2",
    ],
    ids=lambda text: repr(text)[:20],
)
def test_what_is_no_list_of_pairs_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        arguments.point([text], "--at")


@pytest.mark.parametrize(
    "value", ["'a'", "True", "None", "1j", "1e999", "abc", "[1, 'a']", "f(1)", "-[1]", "{1}", "2*3"]
)
def test_a_value_is_a_finite_number_or_a_list(value: str) -> None:
    with pytest.raises(UsageError, match="x must be a finite number or a list of numbers"):
        arguments.point([f"x={value}"], "--at")


def test_a_name_given_twice_is_told() -> None:
    with pytest.raises(UsageError, match="x is given twice"):
        arguments.point(["x=1", "x=2"], "--at")
