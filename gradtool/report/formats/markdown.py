"""A page for people: the class, the most frequent mistakes, the grade list, and what was found.

It reads well as it is, too: tables are aligned, and only what Markdown would read is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradtool.lint.choice import Choice
from gradtool.lint.result import Course, Graded
from gradtool.lint.summary import Frequent, Summary, summary
from gradtool.report.findings_text import (
    by_question,
    detail,
    questions_of,
    seeds,
    standing,
    tally,
    told,
)
from gradtool.report.safe import markdown as safe

NAME = "markdown"
ABOUT = "a page for people"
_FREQUENT = 15


def text(course: Course, choice: Choice) -> str:
    """Headed by the title of the assignment."""
    return "\n".join(_lines(course, choice)) + "\n"


def _lines(course: Course, choice: Choice) -> Iterator[str]:
    heading = course.heading
    found = summary(course.graded, choice)
    yield f"# {safe(heading.title)}"
    yield ""
    mean = f"{found.mean:.2f} of {heading.points:g} points on the average"
    yield f"{tally(found)}{f'; {mean}' if heading.points else ''}."
    if heading.sandbox.missing:
        yield ""
        missing = ", ".join(heading.sandbox.missing)
        yield f"**Not guarded: {missing}.** This is not safe for untrusted files."
    yield from _questions(found, course)
    yield from _frequent(found)
    yield from _grades(course)
    yield from _findings(course, choice)
    yield ""
    active = ", ".join(layer.name for layer in heading.sandbox.layers if layer.active)
    run = [f"gradtool {heading.version}", seeds(found), f"sandbox: {active or 'none'}"]
    yield ", ".join(filter(None, run))


def _questions(found: Summary, course: Course) -> Iterator[str]:
    rows = [(safe(name), solved, mean) for name, solved, mean in by_question(found)]
    if rows and course.heading.points:
        yield from ("", "## Questions", "")
        yield from _table(("question", "right", "points on the average"), "<>>", rows)


def _frequent(found: Summary) -> Iterator[str]:
    rows = [
        (str(one.count), safe(one.question), safe(" ".join(_words(one))))
        for one in found.frequent[:_FREQUENT]
    ]
    if rows:
        yield from ("", "## Most frequent mistakes", "")
        yield from _table(("submissions", "question", "what"), "><<", rows)


def _words(one: Frequent) -> Iterator[str]:
    return filter(None, (one.code, one.subject, one.what))


def _grades(course: Course) -> Iterator[str]:
    points = bool(course.heading.points)
    rows = [tuple(_row(one, points)) for one in course.graded if not one.skipped]
    if not rows:
        return
    titles = [safe(question) for question in course.heading.questions]
    yield from ("", "## Submissions", "")
    head = ("submission", *["points"] * points, *titles)
    yield from _table(head, "<" + ">" * points + "<" * len(titles), rows)


def _row(one: Graded, points: bool) -> Iterator[str]:
    yield safe(one.name)
    if points:
        yield f"{one.points:g} / {one.of:g}"
    for answer in one.answers:
        yield "" if answer.skipped else safe(standing(answer))


def _findings(course: Course, choice: Choice) -> Iterator[str]:
    title = ["", "## Findings"]
    points = bool(course.heading.points)
    for one in course.graded:
        lines = [
            f"- {safe(questions_of(answers, len(one.answers), points=points))}: "
            f"{safe(detail(finding, course.heading.explain))}"
            for answers, finding in told(one, choice)
        ]
        if lines:
            yield from title
            yield from ("", f"### {safe(one.name)}", "", *lines)
            title = []


def _table(head: Sequence[str], sides: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table whose columns are aligned to the left or the right."""
    widths = [max(3, *map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = [
        f"{'-' * (w - (s == '>'))}{':' * (s == '>')}" for w, s in zip(widths, sides, strict=True)
    ]
    for row in (head, rule, *rows):
        cells = (f"{cell:{s}{w}}" for cell, s, w in zip(row, sides, widths, strict=True))
        yield f"| {' | '.join(cells)} |"
