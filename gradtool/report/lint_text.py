"""A course for the terminal: who is right, what is wrong, and what most got wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from gradtool.lint.choice import Choice
from gradtool.lint.result import Course, Graded
from gradtool.lint.rules import RULES
from gradtool.lint.summary import Summary, summary
from gradtool.report.findings_text import by_question, detail, questions_of, seeds, tally, told
from gradtool.report.fold import folded, is_styled, width_of
from gradtool.report.safe import one_line

Line = tuple[str, str]
"""A style of rich, or "", and a text."""

_STYLES = {"error": "red", "warning": "yellow", "note": "dim"}
_FREQUENT = 8
_HANGING = 2  # by how much a line goes on further in than it began


def write(course: Course, choice: Choice, out: TextIO, *, statistics: bool) -> None:
    """Print it, on a terminal in colour and folded to its width."""
    found = lines(course, choice, statistics=statistics)
    width = width_of(out)
    if width is None:  # one line for each finding, for grep
        for _, text in found:
            out.write(text + "\n")
        return
    console = None
    if is_styled(out):
        from rich.console import Console
        from rich.text import Text

        console = Console(file=out, highlight=False)
    for style, text in found:
        under = len(text) - len(text.lstrip()) + _HANGING
        for line in folded(text, under, width):
            # What is foreign must not begin a line as a command to a CI system does.
            safe = line.replace("::", ": :", 1) if line.lstrip().startswith("::") else line
            if console is None:
                out.write(safe + "\n")
            else:
                console.print(Text(safe, style=style), soft_wrap=True)


def lines(course: Course, choice: Choice, *, statistics: bool = False) -> Iterator[Line]:
    """The report; with `statistics` the counts of each code in place of the submissions."""
    found = summary(course.graded, choice)
    if statistics:
        for code, count in sorted(found.codes, key=lambda pair: (-pair[1], pair[0])):
            yield "", f"{count:>6}  {code}  {RULES[code].about}"
    else:
        names = (one_line(one.name) for one in course.graded if not one.skipped)
        width = min(48, max(map(len, names), default=0))
        for one in course.graded:
            if not one.skipped or any(choice.of(one)):
                yield from _submission(one, course, choice, width)
        if course.heading.points:
            yield from _questions(found)
        yield from _frequent(found, many=found.total > 1)
    if found.total > 1 or course.heading.points:
        yield "", ""
    yield from _last(course, found)


def _submission(one: Graded, course: Course, choice: Choice, width: int) -> Iterator[Line]:
    mark, style = _mark(one, choice)
    points = f"{one.points:g} of {one.of:g}" if course.heading.points else ""
    yield style, f"{mark} {one_line(one.name):<{width}}  {points}".rstrip()
    count = len(one.answers)
    for answers, finding in told(one, choice):
        names = questions_of(answers, count, points=bool(course.heading.points))
        text = detail(finding, course.heading.explain)
        question = f"{names}: " if count > 1 else ""
        yield _STYLES[RULES[finding.code].level], f"       {question}{text}"


def _mark(one: Graded, choice: Choice) -> tuple[str, str]:
    """Four characters for a submission, and their style."""
    if not choice.clean(one):
        return "FAIL", "bold red"
    if one.skipped:
        return "skip", "dim"
    # What is wrong with it was not chosen to be told.
    return ("ok  ", "green") if choice.right(one) else ("-   ", "yellow")


def _questions(found: Summary) -> Iterator[Line]:
    rows = list(by_question(found))
    if not rows:
        return
    yield "", ""
    yield "bold", "by question: right, and points on the average"
    width = max(len(name) for name, _, _ in rows)
    for name, solved, mean in rows:
        yield "", f"{'':7}{name:<{width}}  {solved}  {mean}"


def _frequent(found: Summary, many: bool) -> Iterator[Line]:
    if not many or not found.frequent:
        return
    yield "", ""
    yield "bold", "most frequent"
    for one in found.frequent[:_FREQUENT]:
        what = " ".join(filter(None, (one_line(one.question), one.subject, one_line(one.what))))
        yield "", f"{one.count:>6}  {one.code}  {what}"


def _last(course: Course, found: Summary) -> Iterator[Line]:
    heading = course.heading
    parts = [tally(found)]
    if heading.points and found.total:
        parts.append(f"{found.mean:.2f} of {heading.points:g} points on the average")
    if found.seeds:
        parts.append(seeds(found))
    if course.seconds:
        parts.append(f"{course.seconds:.1f} s")
    yield "bold", ", ".join(parts)
    active = ", ".join(layer.name for layer in heading.sandbox.layers if layer.active)
    if heading.sandbox.missing:
        missing = ", ".join(heading.sandbox.missing)
        yield "yellow", f"sandbox: {active or 'none'}; NOT guarded: {missing}"
        yield "yellow", "this is not safe for files that you do not trust"
    else:
        yield "dim", f"sandbox: {active}"
