"""A finding in words, the same in every report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradtool.lint.choice import Choice
from gradtool.lint.result import Answer, Finding, Graded
from gradtool.lint.rules import RULES
from gradtool.lint.summary import Summary
from gradtool.report.safe import one_line

_SEEDS = 3  # that are named


def detail(finding: Finding, explain: bool) -> str:
    """One line: code, message, place, and the cause where it may be told."""
    within = f"{one_line(finding.place)} " if finding.place else ""
    where = f" ({within}line {finding.line})" if finding.line else ""
    text = f"{finding.code} {one_line(finding.message)}{where}"
    return f"{text}; cause: {one_line(finding.why)}" if explain and finding.why else text


def told(one: Graded, choice: Choice) -> Iterator[tuple[tuple[Answer, ...], Finding]]:
    """The findings of a submission that count, with their questions: what is the same in several,
    such as a file that cannot be read, is told once.
    """
    found: dict[Finding, list[Answer]] = {}
    for answer, finding in choice.of(one):
        found.setdefault(finding, []).append(answer)
    for finding, answers in found.items():
        yield tuple(answers), finding


def questions_of(answers: Sequence[Answer], of: int, *, points: bool) -> str:
    """The names of questions of which there are `of`, of a single one with its `points`."""
    if len(answers) == of > 1:
        return "every question"
    names = ", ".join(one_line(answer.question) for answer in answers)
    if points and len(answers) == 1:
        return f"{names} ({answers[0].points:g} of {answers[0].of:g})"
    return names


def by_question(found: Summary) -> Iterator[tuple[str, str, str]]:
    """Of each question of a class: its name, how many solved it, and the points on the average;
    nothing of a single one.
    """
    if len(found.questions) < 2 or found.total < 2:
        return
    for one in found.questions:
        mean = f"{one.points / found.total:.2f} of {one.of:g}"
        yield one_line(one.question), f"{one.solved} of {found.total}", mean


def tally(found: Summary) -> str:
    """How many are right, of those that have something to check."""
    if not found.total:
        return "no submission is in this part"
    if not found.checked and found.skipped:
        return f"nothing was checked: {nowhere(found)}"
    right = f"{found.passed} of {found.checked} right"
    if not found.skipped:
        return right
    have = "file has" if found.skipped == 1 else "files have"
    return f"{right}, {found.skipped} more {have} nothing to check"


def nowhere(found: Summary) -> str:
    """Which layers there are in none of the files that were looked through."""
    layers = "layer" if len(found.unseen) == 1 else "layers"
    names = " and ".join(map(one_line, found.unseen))
    files = "the file does not have" if found.total == 1 else f"none of {found.total} files has"
    return f"{files} the {layers} {names}"


def seeds(found: Summary) -> str:
    """The seeds of the results: none is named of which no result is."""
    if len(found.seeds) < 2:
        return "".join(f"seed {seed}" for seed in found.seeds)
    some = ", ".join(map(str, found.seeds[:_SEEDS]))
    count = len(found.seeds)
    return f"{count} seeds ({some}, …)" if count > _SEEDS else f"seeds {some}"


def standing(answer: Answer) -> str:
    """A question in a few characters: ``ok``, what is wrong first, or ``-`` where it is none."""
    if answer.skipped:
        return "-"
    if answer.passed:
        return "ok"
    for finding in answer.findings:
        rule = RULES[finding.code]
        if rule.level == "error":
            subject = f"{finding.subject} " if finding.subject else ""
            return subject + rule.name.replace("-", " ").removeprefix("gradient ")
    return "wrong"
