"""Assignments in an order in which they can be run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gradtool.ir.order import runnable

Line = tuple[str, frozenset[str]]  # a name, and those that its value reads


def ordered(lines: list[Line]) -> list[Line]:
    return runnable(lines, lambda line: line[0], lambda line: line[1])


def test_what_can_be_run_stays_as_it_is() -> None:
    lines = [("b", frozenset("x")), ("a", frozenset("xy")), ("c", frozenset("ab"))]
    assert ordered(lines) == lines


def test_a_line_waits_for_what_it_reads_and_no_longer() -> None:
    early, free, late = ("c", frozenset("a")), ("b", frozenset("x")), ("a", frozenset("x"))
    assert ordered([early, free, late]) == [free, late, early]


def test_a_name_may_be_read_by_the_line_that_defines_it() -> None:
    lines = [("a", frozenset("a")), ("b", frozenset("a"))]
    assert ordered(lines) == lines


def test_of_a_circle_nothing_is_lost() -> None:
    lines = [("a", frozenset("b")), ("b", frozenset("a")), ("c", frozenset("b"))]
    assert ordered(lines) == lines


@given(st.permutations("abcdefg"), st.data())
def test_nothing_is_read_before_it_is_defined(names: list[str], data: st.DataObject) -> None:
    lines = [
        (name, frozenset(data.draw(st.sets(st.sampled_from(names[:place]))) if place else ()))
        for place, name in enumerate(names)
    ]
    found = ordered(data.draw(st.permutations(lines)))
    assert sorted(name for name, _ in found) == sorted(names)
    defined = set[str]()
    for name, reads in found:
        assert reads <= defined
        defined.add(name)
