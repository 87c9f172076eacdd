"""`--feedback DIR`: a page for each student, a text file with the name of the submission."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from gradtool.lint.choice import Choice
from gradtool.lint.result import Answer, Course, Graded, Heading
from gradtool.lint.rules import RULES
from gradtool.report import check_text
from gradtool.report.findings_text import detail
from gradtool.report.safe import lines as printable
from gradtool.report.safe import one_line
from gradtool.spec.usage import UsageError

_LONGEST = 180  # bytes of a name: file systems take 255


def usable(folder: Path, handed_in: Iterable[Path]) -> None:
    """See that pages can be written to a folder, and that it is none of submissions, or in one:
    in the next run it would be a student.

    Raises:
        UsageError: not so.
    """
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    place = folder.resolve()
    reason = ""
    if not there.is_dir():
        reason = f"{there} is no folder"
    elif not os.access(there, os.W_OK):
        reason = f"{there} may not be written"
    elif any(path.resolve() in (place, *place.parents) for path in handed_in):
        reason = "it is among the submissions"
    if reason:
        raise UsageError(f"--feedback: no pages can be written to {folder}: {reason}")


def write(folder: Path, course: Course, choice: Choice) -> None:
    """Write a page for each submission.

    Raises:
        OSError: one cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for one in course.graded:
        if not one.skipped:
            # The name of a file on disk need not be text.
            text = page(one, course.heading, choice).encode("utf-8", "backslashreplace")
            (folder / file_name(one.name)).write_bytes(text)


def file_name(name: str) -> str:
    """That of a page: the submission's, without folders; what had to be changed has a mark of it,
    so that no two are the same.
    """
    shown = one_line(name).replace("/", "_")
    short = shown.encode()[:_LONGEST].decode("utf-8", "ignore")
    if short == name:
        return f"{name}.txt"
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{short}.{mark}.txt"


def page(one: Graded, heading: Heading, choice: Choice) -> str:
    """All that a student may read of a submission."""
    return printable("\n".join(_lines(one, heading, choice)) + "\n")


def _lines(one: Graded, heading: Heading, choice: Choice) -> Iterator[str]:
    points = bool(heading.points)
    title = one_line(heading.title)
    yield f"{title}: {one.points:g} of {one.of:g} points" if points else title
    yield one_line(one.name)
    for answer in one.answers:
        if answer.skipped:
            continue
        earned = f": {answer.points:g} of {answer.of:g} points" if points else ""
        yield from ("", f"== {one_line(answer.question)}{earned}")
        yield from told(answer, heading, choice, points=points)
    helped = dict.fromkeys(finding.code for _, finding in choice.of(one))
    if helped:
        yield from ("", "== What to do")
        yield from (f"{code}  {RULES[code].help}" for code in helped)


def told(answer: Answer, heading: Heading, choice: Choice, *, points: bool = True) -> Iterator[str]:
    """The findings of a question, the points of its parts, and what was compared in it."""
    yield from (detail(f, heading.explain) for f in answer.findings if choice.takes(f))
    if points:
        yield from (f"{p.name}: {p.points:g} of {p.of:g} points" for p in answer.parts)
    if answer.verdict is not None and heading.explain:
        shown = check_text.plain(answer.verdict, hide_expected=heading.hide_expected)
        yield from ("", shown.rstrip("\n"))
