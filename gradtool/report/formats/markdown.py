"""A page for people: the class, the most frequent mistakes, the grade list."""

from __future__ import annotations

from collections.abc import Iterator

from gradtool.lint.choice import Choice
from gradtool.lint.result import Course
from gradtool.lint.summary import summary
from gradtool.report.findings_text import detail, seeds, standing, tally
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
    if found.frequent:
        yield from ("", "## Most frequent mistakes", "", "| submissions | question | what |")
        yield "| ---: | --- | --- |"
        for one in found.frequent[:_FREQUENT]:
            what = f"{one.subject} {one.what}".strip()
            yield f"| {one.count} | {safe(one.question)} | {safe(f'{one.code} {what}')} |"
    titles = "".join(f" {safe(question)} |" for question in heading.questions)
    yield from ("", "## Submissions", "", f"| submission | points |{titles}")
    yield "| --- | ---: |" + " --- |" * len(heading.questions)
    for graded in course.graded:
        if graded.skipped:
            continue
        cells = "".join(f" {safe(standing(answer))} |" for answer in graded.answers)
        yield f"| {safe(graded.name)} | {graded.points:g} / {graded.of:g} |{cells}"
    details = [
        (one.name, answer.question, detail(finding, heading.explain))
        for one in course.graded
        for answer, finding in choice.of(one)
    ]
    if details:
        yield from ("", "## Findings", "")
        for name, question, line in details:
            yield f"- {safe(name)}, {safe(question)}: {safe(line)}"
    yield ""
    active = ", ".join(layer.name for layer in heading.sandbox.layers if layer.active)
    run = [f"gradtool {heading.version}", seeds(found), f"sandbox: {active or 'none'}"]
    yield ", ".join(filter(None, run))
