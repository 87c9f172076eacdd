"""Results survive a kill, a second run and the way to another machine; none is lost or doubled."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from gradtool.lint import store as store_module
from gradtool.lint.result import Course
from gradtool.lint.store import Store, graded_of, line_of, merged
from gradtool.records import replace
from gradtool.spec.usage import UsageError
from tests.report.formats.course import HOSTILE, HOSTILE_COURSE, graded

HEADING = replace(HOSTILE_COURSE.heading, total=4)


def test_a_result_is_the_same_after_json() -> None:
    for name in HOSTILE:
        one = graded(name)
        assert graded_of(line_of(one)) == one
        assert "\n" not in line_of(one)
    verdict = graded_of(line_of(graded("a"))).answers[0].verdict
    assert verdict is not None
    assert verdict.gradients[0].error == math.inf


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"name": 3},
        {"name": "a"},
        {"name": "a", "key": "k", "answers": [], "more": 1},
        {"name": "a", "key": "k", "answers": {}},
        {"name": "a", "key": "k", "answers": [], "seconds": "1"},
    ],
)
def test_json_of_another_shape_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match=r"Expected|missing|unknown"):
        graded_of(json.dumps(data))


@pytest.mark.parametrize("most", [0, 1, 400])
def test_what_is_held_in_memory_is_what_stands_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(store_module, "_MOST_HELD", most)
    again = replace(graded("b"), seconds=7.5)
    with Store(tmp_path / "results.jsonl", HEADING) as store:
        for one in (graded("b"), graded("a"), again, graded("c")):
            store.add(one)
    with Store(tmp_path / "results.jsonl", HEADING) as later:
        assert later.find("b", "k" * 32) == again
        for lines in (store.lines, store.lines):  # the second time it may be held
            assert list(lines) == [graded("a"), again, graded("c")]


def test_a_run_goes_on_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    place = tmp_path / "results.jsonl"
    with Store(place, HEADING) as store:
        store.add(graded("a"))
        store.add(graded("b"))
    place.write_text(place.read_text()[:-20])
    with Store(place, replace(HEADING, seed=99)) as store:
        assert store.known == 1
        assert store.find("a", "k" * 32) == graded("a")
        assert store.find("a", "another content") is None
        assert store.find("b", "k" * 32) is None
        store.add(graded("b"))
    with Store(place, HEADING) as store:
        assert store.known == 2


def test_one_that_is_handed_in_late_costs_the_others_nothing(tmp_path: Path) -> None:
    place = tmp_path / "results.jsonl"
    with Store(place, replace(HEADING, total=2)) as store:
        store.add(graded("a"))
        store.add(graded("b"))
    with Store(place, replace(HEADING, total=3)) as store:
        assert store.known == 2
        assert store.find("a", "k" * 32) == graded("a")
        store.add(graded("c"))
        assert store.find("b", "k" * 32) == graded("b")
        assert list(store.lines) == [graded("a"), graded("b"), graded("c")]
    heading, lines = merged([place])  # its heading says how many there are
    assert heading.total == len(lines) == 3


@pytest.mark.parametrize("total", [2, 3])
def test_what_was_handed_in_again_counts_once(tmp_path: Path, total: int) -> None:
    """And what it was before counts where that is handed in once more."""
    place = tmp_path / "results.jsonl"
    old, new = graded("b"), replace(graded("b"), key="another content")
    with Store(place, replace(HEADING, total=2)) as store:
        store.add(graded("a"))
        store.add(old)
    for one in (new, old, new):
        with Store(place, replace(HEADING, total=total)) as store:
            assert store.find("a", "k" * 32) == graded("a")
            if store.find(one.name, one.key) is None:
                store.add(one)
            if total == 3:
                store.add(graded("c"))
        heading, lines = merged([place])
        assert heading.total == total
        assert list(lines)[:2] == [graded("a"), one]


def test_what_was_taken_back_counts_no_longer(tmp_path: Path) -> None:
    place = tmp_path / "results.jsonl"
    with Store(place, replace(HEADING, total=3)) as store:
        for name in "abc":
            store.add(graded(name))
    with Store(place, replace(HEADING, total=2)) as store:
        assert store.find("a", "k" * 32) == graded("a")
        assert store.find("c", "k" * 32) == graded("c")
    assert merged([place])[1].names == ("a", "c")
    # A run that was stopped does not stand for those that it has not come to.
    with Store(place, replace(HEADING, total=2)) as store:
        store.add(graded("d"))
    with pytest.raises(UsageError, match="expected 2 submissions, found 1: a shard was interr"):
        merged([place])
    with Store(place, replace(HEADING, total=2)) as store:
        assert store.known == 4
        assert store.find("d", "k" * 32) == graded("d")
        assert store.find("a", "k" * 32) == graded("a")
    assert merged([place])[1].names == ("a", "d")


def test_shards_of_a_class_that_has_changed_meanwhile_are_run_again(tmp_path: Path) -> None:
    places = []
    for number, total in ((1, 4), (2, 5)):
        places.append(tmp_path / f"{number}.jsonl")
        with Store(places[-1], replace(HEADING, shard=(number, 2), total=total)) as store:
            store.add(graded(f"one of {number}"))
    with pytest.raises(UsageError, match=r"2\.jsonl is of 5 submissions, the first file of 4"):
        merged(places)


def test_results_of_another_assignment_are_not_taken(tmp_path: Path) -> None:
    place = tmp_path / "results.jsonl"
    with Store(place, HEADING) as store:
        store.add(graded("a"))
    with Store(place, replace(HEADING, key="other")) as store:
        assert store.known == 0


@pytest.mark.parametrize("other", [{"key": "other"}, {"shard": (1, 2)}, {"version": "9"}])
@pytest.mark.parametrize("fresh", [False, True])
def test_results_of_another_run_are_set_aside(
    other: dict[str, Any], fresh: bool, tmp_path: Path
) -> None:
    place = tmp_path / "results.jsonl"
    found = []
    for number, heading in enumerate((HEADING, replace(HEADING, **other)) * 2):
        with Store(place, heading, fresh=fresh and number > 0) as store:
            store.add(graded(str(number)))
            found.append(store.aside)
    assert found == [None, *(place.with_name(f"results.jsonl.old{n}") for n in ("", 2, 3))]
    for number, one in enumerate((*found[1:], place)):
        assert one is not None
        assert [line.name for line in map(graded_of, one.read_text().splitlines()[1:])] == [
            str(number)
        ]
    with Store(place, HEADING, needed=False) as store:  # what is kept for speed alone
        store.add(graded("z"))
    assert len(list(tmp_path.iterdir())) == 4


def test_a_full_disk_is_told_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    place = tmp_path / "results.jsonl"
    with Store(place, HEADING) as store:
        store.add(graded("a"))
        with monkeypatch.context() as patch:
            patch.setattr(store_module, "_written", full)
            with pytest.raises(UsageError, match=r"to .*results\.jsonl: No space left"):
                store.add(graded("b"))
    with Store(place, HEADING) as store:
        assert store.known == 1


def test_a_file_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "hw1.yaml"
    place.write_text("assignment: hw1\n")
    for fresh in (False, True):
        with pytest.raises(UsageError, match="it holds something else"):
            Store(place, HEADING, fresh=fresh)
    assert place.read_text() == "assignment: hw1\n"
    with pytest.raises(UsageError, match="no regular file"):
        Store(tmp_path, HEADING)
    for beginning in ("", '{"form', '{"format":"gradtool results 0"}\n'):
        place.write_text(beginning)
        with Store(place, HEADING) as store:
            assert store.known == 0
            store.add(graded("a"))
        with Store(place, HEADING) as store:
            assert store.known == 1


def test_two_runs_do_not_share_a_file(tmp_path: Path) -> None:
    place = tmp_path / "results.jsonl"
    with Store(place, HEADING) as first:
        first.add(graded("a"))
        with pytest.raises(UsageError, match="another run keeps its results there"):
            Store(place, HEADING)
        with Store(place, HEADING, fresh=True, needed=False) as second:
            second.add(graded("b"))
        first.add(graded("c"))
    with Store(place, replace(HEADING, total=9), fresh=True) as later:
        later.add(graded("d"))
    # What a report is written from stays, whoever begins anew.
    assert [graded_of(first.lines.find(name).read()).name for name in "ac"] == ["a", "c"]  # type: ignore[union-attr]
    with Store(place, replace(HEADING, total=9)) as last:
        assert last.known == 1


def _shards(folder: Path, *names: tuple[str, ...], key: str = "k") -> list[Path]:
    places = []
    for number, shard in enumerate(names, start=1):
        place = folder / f"part{number}.jsonl"
        heading = replace(HEADING, key=key, shard=(number, len(names)))
        with Store(place, heading) as store:
            for name in shard:
                store.add(graded(name))
        places.append(place)
    return places


def test_shards_are_joined_and_nothing_counts_twice(tmp_path: Path) -> None:
    places = _shards(tmp_path, ("a", "c"), ("b", "d"))
    heading, lines = merged([*places, places[0]])
    assert [one.name for one in Course(heading, lines).graded] == ["a", "b", "c", "d"]
    assert heading.shard == (1, 1)


def test_what_is_no_whole_run_is_refused(tmp_path: Path) -> None:
    places = _shards(tmp_path, ("a", "c"), ("b",))
    with pytest.raises(UsageError, match="expected 4 submissions, found 3"):
        merged(places)
    with pytest.raises(UsageError, match="the results of shard 2/2 are missing"):
        merged(places[:1])
    (tmp_path / "other").mkdir()
    other = _shards(tmp_path / "other", ("a",), ("b",), key="another")
    with pytest.raises(UsageError, match="of another assignment"):
        merged([places[0], other[1]])
    (tmp_path / "x").write_text("{}")
    with pytest.raises(UsageError, match="holds no results"):
        merged([tmp_path / "x"])
