"""Everything that a run found out, for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gradtool.lint.choice import Choice
from gradtool.lint.result import Answer, Course, Finding, Graded
from gradtool.lint.rules import RULES
from gradtool.lint.summary import summary
from gradtool.report.check_json import as_data

NAME = "json"
ABOUT = "everything, for programs"


def text(course: Course, choice: Choice) -> str:
    """One object: the run, every submission, the class as a whole."""
    return "".join(pieces(course, choice))


def pieces(course: Course, choice: Choice) -> Iterator[str]:
    """The same, one submission at a time."""
    head = json.dumps(_head(course, choice), indent=1).removesuffix("\n}")
    yield f'{head},\n "submissions": ['
    between = "\n"
    for one in course.graded:
        # Each on a line of its own: with every value on one, half of a large report is blanks.
        yield between + "  " + json.dumps(_graded(one, course, choice))
        between = ",\n"
    yield "]\n}\n" if between == "\n" else "\n ]\n}\n"


def _head(course: Course, choice: Choice) -> dict[str, Any]:
    """All but the submissions."""
    heading = course.heading
    found = summary(course.graded, choice)
    return {
        "assignment": heading.assignment,
        "title": heading.title,
        "version": heading.version,
        "seed": found.seed,
        "seeds": list(found.seeds),
        "sandbox": {
            "complete": not heading.sandbox.missing,
            "missing": list(heading.sandbox.missing),
            "layers": [
                {"name": layer.name, "active": layer.active, "reason": layer.reason}
                for layer in heading.sandbox.layers
            ],
        },
        "summary": {
            "submissions": found.total,
            "skipped": found.skipped,
            "passed": found.passed,
            "points": heading.points,
            "mean": round(found.mean, 4),
            "solved": found.solved,
            "codes": dict(found.codes),
            "frequent": [
                {
                    "count": one.count,
                    "question": one.question,
                    "code": one.code,
                    "subject": one.subject,
                    "cause": one.cause,
                    "what": one.what,
                }
                for one in found.frequent
            ],
        },
    }


def _graded(one: Graded, course: Course, choice: Choice) -> dict[str, Any]:
    return {
        "name": one.name,
        "passed": None if one.skipped else choice.right(one),
        "points": one.points,
        "of": one.of,
        "seconds": one.seconds,
        "cpu_seconds": one.cpu_seconds,
        "peak_bytes": one.peak_bytes,
        "questions": [_answer(answer, course, choice) for answer in one.answers],
    }


def _answer(answer: Answer, course: Course, choice: Choice) -> dict[str, Any]:
    heading, verdict = course.heading, answer.verdict
    return {
        "name": answer.question,
        "file": answer.file,
        "passed": None if answer.skipped else choice.answered(answer),
        "points": answer.points,
        "of": answer.of,
        "parts": [{"name": p.name, "points": p.points, "of": p.of} for p in answer.parts],
        "findings": [_finding(f, heading.explain) for f in answer.findings if choice.takes(f)],
        "check": None if verdict is None else as_data(verdict, hide_expected=heading.hide_expected),
    }


def _finding(finding: Finding, explain: bool) -> dict[str, Any]:
    rule = RULES[finding.code]
    return {
        "code": finding.code,
        "name": rule.name,
        "level": rule.level,
        "message": finding.message,
        "line": finding.line or None,
        "place": finding.place,
        "subject": finding.subject,
        "cause": finding.cause if explain else "",
        "why": finding.why if explain else "",
    }
