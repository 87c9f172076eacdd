"""Sizes at which code is right are named where they follow a rule, and only then."""

from __future__ import annotations

import pytest

from gradtool.check.sizes import rule

SQUARE = [{"N": 2, "H": 4, "W": 4}, {"N": 3, "H": 5, "W": 5}, {"N": 1, "H": 1, "W": 1}]
OTHERS = [{"N": 2, "H": 4, "W": 5}, {"N": 3, "H": 5, "W": 1}, {"N": 4, "H": 1, "W": 3}]


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        (SQUARE, OTHERS, "H = W"),
        (OTHERS, SQUARE, None),
        ([{"N": 1, "D": 3}, {"N": 1, "D": 1}], [{"N": 2, "D": 3}, {"N": 5, "D": 1}], "N = 1"),
        ([{"N": 1, "D": 1}, {"N": 1, "D": 1}], [{"N": 2, "D": 3}, {"N": 5, "D": 4}], None),
        (SQUARE[:1], OTHERS, None),
        (SQUARE, OTHERS[:1], None),
        ([*SQUARE, {"N": 7, "H": 2, "W": 3}], OTHERS, None),
    ],
)
def test_a_rule_holds_at_all_points_that_are_right_and_at_no_other(
    right: list[dict[str, int]], wrong: list[dict[str, int]], told: str | None
) -> None:
    assert rule(right, wrong) == told
