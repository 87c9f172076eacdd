"""A small course is graded as its answer key says, points and causes."""

from __future__ import annotations

import io
import json
from pathlib import Path

from gradtool.report import lint_command
from tests.course.compare import differences
from tests.course.generate import ASSIGNMENT, QUESTIONS, expected, write
from tests.course.model import Answer


def test_the_key_of_a_course_is_met(tmp_path: Path) -> None:
    key = write(tmp_path / "submissions", 18, seed=3)
    (tmp_path / "assignment.yaml").write_text(ASSIGNMENT)
    request = lint_command.Request(
        (tmp_path / "submissions",),
        assignment=tmp_path / "assignment.yaml",
        form="json",
        seed=5,
        fresh=True,
    )
    out = io.StringIO()
    lint_command.run(request, out)
    assert list(differences(json.loads(out.getvalue()), key)) == []


def test_what_an_answer_is_worth() -> None:
    affine = QUESTIONS[0]
    assert expected(affine, Answer("", "")).points == 10
    assert expected(affine, Answer("", "", {"b": ()})).points == 7.5
    assert expected(affine, Answer("", "", codes=("GT106",))).points == 2.5
    assert expected(affine, Answer("", "", forward=False, codes=("GT105",))).points == 0
