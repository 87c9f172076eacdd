"""The grade list: one row for each submission, for a spreadsheet."""

from __future__ import annotations

import csv
import io

from gradtool.lint.choice import Choice
from gradtool.lint.result import Course
from gradtool.report.safe import cell

NAME = "csv"
ABOUT = "the grade list, for a spreadsheet"


def text(course: Course, choice: Choice) -> str:
    """Name, verdict, points, then points and findings of each question."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    questions = course.heading.questions
    columns = [cell(name) for q in questions for name in (q, f"{q}: findings")]
    writer.writerow(["submission", "passed", "points", "of", *columns])
    for one in course.graded:
        passed = "skipped" if one.skipped else "yes" if choice.right(one) else "no"
        answers = {answer.question: answer for answer in one.answers}
        row: list[object] = [cell(one.name), passed, one.points, one.of]
        for question in questions:
            answer = answers[question]
            codes = dict.fromkeys(f.code for f in answer.findings if choice.takes(f))
            row += [answer.points, " ".join(codes)]
        writer.writerow(row)
    return out.getvalue()
