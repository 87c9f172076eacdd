"""`--feedback`: each student gets a page of their own, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.cli import main
from gradtool.lint.choice import Choice
from gradtool.records import replace
from gradtool.report import feedback
from tests.lint.hostile.model import RIGHT, WRONG
from tests.report.formats.course import HOSTILE, HOSTILE_COURSE

ASSIGNMENT = """\
assignment: hw1
title: Homework one
questions:
  - {spec: affine, points: 4}
  - {spec: relu, points: 2}
"""
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("GRADTOOL_CACHE", "")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "course"
    folder.mkdir()
    (folder / "ann.py").write_text(RIGHT)
    (folder / "dan.py").write_text(WRONG)
    Path("hw1.yaml").write_text(ASSIGNMENT)
    return folder


def test_a_page_for_each_submission(course: Path) -> None:
    command = ["lint", "course", "--assignment", "hw1.yaml", "--feedback", "pages/hw1"]
    assert main(command) == 1
    assert sorted(path.name for path in Path("pages/hw1").iterdir()) == ["ann.py.txt", "dan.py.txt"]
    page = Path("pages/hw1/dan.py.txt").read_text()
    assert page.startswith("Homework one: 2 of 6 points\ndan.py\n\n== affine: 2 of 4 points\n")
    assert "\ndW: 0 of 1 points\n" in page
    assert "\n1 of 3 gradients is wrong" not in page
    assert "2 of 3 gradients are wrong" in page
    assert "should be" not in page  # right values are hidden
    assert "\n== relu: 0 of 2 points\nGT105 " in page
    assert "\n== What to do\n" in page
    assert "\nGT202  Derive it once more" in page
    assert "GT202" not in Path("pages/hw1/ann.py.txt").read_text()
    main([*command, "--show-expected"])
    assert "should be" in Path("pages/hw1/dan.py.txt").read_text()


def test_shards_give_the_pages_of_the_whole(course: Path) -> None:
    common = ["lint", "course", "--assignment", "hw1.yaml", "--seed", "1"]
    main([*common, "--feedback", "whole"])
    for number in (1, 2):
        main([*common, "--shard", f"{number}/2", "--results", f"{number}.jsonl"])
    main(["merge", "1.jsonl", "2.jsonl", "--feedback", "merged"])
    for name in ("ann.py.txt", "dan.py.txt"):
        assert Path("merged", name).read_bytes() == Path("whole", name).read_bytes()


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        ("course", "it is among the submissions"),
        ("course/pages", "it is among the submissions"),
        ("hw1.yaml", "hw1.yaml is no folder"),
        ("hw1.yaml/pages", "hw1.yaml is no folder"),
    ],
)
def test_pages_are_no_submissions(folder: str, told: str, course: Path, capsys: Captured) -> None:
    command = ["lint", "course", "--assignment", "hw1.yaml", "--feedback", folder]
    assert main(command) == 2
    assert capsys.readouterr().err == (
        f"gradtool: --feedback: no pages can be written to {folder}: {told}\n"
    )
    assert sorted(path.name for path in course.iterdir()) == ["ann.py", "dan.py"]


def test_a_page_that_cannot_be_written_takes_no_report_along(
    course: Path, capsys: Captured
) -> None:
    Path("pages/dan.py.txt").mkdir(parents=True)
    command = ["lint", "course", "--assignment", "hw1.yaml", "--feedback", "pages"]
    assert main([*command, "--output", "csv=grades.csv"]) == 2
    captured = capsys.readouterr()
    assert "--feedback: pages/dan.py.txt cannot be written: Is a directory" in captured.err
    assert "FAIL dan.py" in captured.out
    assert Path("grades.csv").exists()


def test_no_two_pages_have_one_name_and_none_leaves_the_folder() -> None:
    names = (
        *HOSTILE,
        "a/b.py",
        "a_b.py",
        "a b.py",
        "a\nb.py",
        "x" * 300,
        "x" * 301,
        "../up",
        "é" * 150,
    )
    found = [feedback.file_name(name) for name in names]
    assert len(set(found)) == len(found)
    for name in found:
        assert "/" not in name
        assert name.isprintable()
        assert len(name.encode()) <= 255
    assert feedback.file_name("Zoë 李.py") == "Zoë 李.py.txt"


def test_what_students_write_stays_in_its_line(tmp_path: Path) -> None:
    feedback.write(tmp_path, HOSTILE_COURSE, Choice())
    pages = list(tmp_path.iterdir())
    assert len(pages) == len(HOSTILE) + 1
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert all(character.isprintable() or character == "\n" for character in text)
    surrogate = replace(HOSTILE_COURSE.heading, title="\udcff")
    feedback.write(tmp_path, replace(HOSTILE_COURSE, heading=surrogate), Choice())
