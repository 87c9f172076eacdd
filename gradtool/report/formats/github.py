"""Annotations of GitHub Actions, as workflow commands; the platform shows ten of a kind a step."""

from __future__ import annotations

from collections.abc import Iterator

from gradtool.lint.choice import Choice
from gradtool.lint.result import Course
from gradtool.lint.rules import RULES, Level
from gradtool.lint.summary import summary
from gradtool.report.findings_text import detail, tally
from gradtool.report.formats.sarif import path_of
from gradtool.report.safe import one_line

NAME = "github"
ABOUT = "annotations of GitHub Actions"
_MOST = 9  # of each kind; a tenth says how many there are more
_COMMANDS: dict[Level, str] = {"error": "error", "warning": "warning", "note": "notice"}


def text(course: Course, choice: Choice) -> str:
    """One command for each finding while there is room, then the class as a whole."""
    return "".join(f"{line}\n" for line in _lines(course, choice))


def _lines(course: Course, choice: Choice) -> Iterator[str]:
    counts: dict[Level, int] = {"error": 0, "warning": 0, "note": 0}
    for one in course.graded:
        for answer, finding in choice.of(one):
            level = RULES[finding.code].level
            counts[level] += 1
            if counts[level] <= _MOST:
                line = finding.line_of_file
                place = {"line": str(line)} if line else {}
                properties = {
                    "file": path_of(one, answer, course),
                    **place,
                    "title": f"{finding.code} {answer.question}",
                }
                message = detail(finding, course.heading.explain)
                yield command(_COMMANDS[level], properties, message)
    for level, count in counts.items():
        if count > _MOST:
            title = {"title": f"{count - _MOST} more of this kind"}
            yield command(_COMMANDS[level], title, "the report of the run has them all")
    found = summary(course.graded, choice)
    kind = "warning" if found.skipped and not found.checked else "notice"
    yield command(kind, {"title": "gradtool"}, tally(found))


def command(name: str, properties: dict[str, str], message: str) -> str:
    """A workflow command; nothing in its values can end it or begin another."""
    written = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {written}::{_data(one_line(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(one_line(text)).replace(":", "%3A").replace(",", "%2C")
