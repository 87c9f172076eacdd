"""What a slow machine does for a moment is not held against code that is fast."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from gradtool.check.pace import LITTLE, Pace

WORK = 10 * LITTLE


def sleeping(*seconds: float) -> Iterator[float]:
    """Sleeps as long as it is told, each time that it is asked; then no more."""
    for one in seconds:
        time.sleep(one)
        yield one
    while True:
        yield 0.0


@pytest.mark.parametrize(("took", "fast"), [([0.05], True), ([0.05, 0.05], False)])
def test_what_took_long_once_is_asked_again(took: list[float], fast: bool) -> None:
    asked = sleeping(*took)
    pace = Pace(budget=1.0)
    assert pace.timed(WORK, lambda: next(asked)) == 0.05
    assert pace.affords(WORK)
    assert pace.affords(100 * WORK) is fast
    assert pace.is_dear(2 * WORK) is not fast


def test_little_is_always_affordable() -> None:
    pace = Pace(budget=0.0)
    pace.timed(WORK, lambda: time.sleep(0.001))
    assert pace.affords(LITTLE)
    assert not pace.affords(LITTLE + 1)
    assert not pace.is_dear(LITTLE)


def test_no_time_is_left_after_an_answer_that_never_came() -> None:
    pace = Pace(budget=10.0)
    assert pace.affords(WORK)
    pace.exhaust()
    assert pace.affords(LITTLE)
    assert pace.timed(WORK, lambda: 3) == 3
    assert not pace.affords(WORK)
