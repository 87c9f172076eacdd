"""What is kept is what would be made, and no more than was allowed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gradtool.check.recall import NOTHING, Recall


def test_a_value_is_made_once() -> None:
    recall, made = Recall(1 << 20), []
    for _ in range(3):
        value = recall.of("key", lambda: made.append(1) or [len(made)])  # type: ignore[func-returns-value]
        assert value == [1]
        assert recall.keeps(value)
    assert not recall.keeps([1])


def test_members_of_a_tuple_are_known() -> None:
    recall = Recall(1 << 20)
    first, second = recall.of("pair", lambda: ([1], [2]))
    assert recall.keeps(first)
    assert recall.keeps(second)


def test_too_much_is_forgotten_and_what_is_too_large_is_not_kept() -> None:
    recall, made = Recall(10_000), []

    def make() -> int:
        made.append(1)
        return len(made)

    assert recall.of("a", make, size=4000) == recall.of("a", make, size=4000) == 1
    assert recall.of("b", make, size=6000) == 2
    assert recall.of("a", make, size=4000) == 3
    assert recall.of("large", make, size=20_000) == 4
    assert recall.of("large", make, size=20_000) == 5


def test_a_single_check_keeps_nothing() -> None:
    assert NOTHING.of("key", lambda: 1) == 1
    assert NOTHING.of("key", lambda: 2) == 2


def test_what_is_made_of_an_object_is_kept_with_it() -> None:
    recall, made = Recall(1 << 20), []

    def make() -> list[int]:
        made.append(1)
        return [len(made)]

    kept = recall.of("one", lambda: ["one"])
    assert recall.made_of(kept, ("of it",), make) is recall.made_of(kept, ("of it",), make)
    assert len(made) == 1
    assert recall.made_of(kept, ("other",), make) == [2]
    assert recall.made_of(kept, ("of it",), make, alone=False) == [3]
    stranger = ["one"]
    assert recall.made_of(stranger, ("of it",), make) == [4]
    assert recall.made_of(stranger, ("of it",), make) == [5]


def test_what_another_thread_makes_is_waited_for() -> None:
    recall, began, go = Recall(1 << 20), threading.Event(), threading.Event()
    made: list[str] = []

    def make() -> str:
        began.set()
        assert go.wait(10)
        made.append("once")
        return "found"

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(recall.of, "key", make)
        assert began.wait(10)
        others = [pool.submit(recall.of, "key", make) for _ in range(3)]
        assert recall.of("another key", lambda: "at once") == "at once"
        go.set()
        assert [one.result(10) for one in (first, *others)] == ["found"] * 4
    assert made == ["once"]


def test_who_waited_for_what_raised_makes_it() -> None:
    recall, began, go = Recall(1 << 20), threading.Event(), threading.Event()

    def fails() -> str:
        began.set()
        assert go.wait(10)
        raise ZeroDivisionError

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(recall.of, "key", fails)
        assert began.wait(10)
        second = pool.submit(recall.of, "key", lambda: "found")
        go.set()
        with pytest.raises(ZeroDivisionError):
            first.result(10)
        assert second.result(10) == "found"
