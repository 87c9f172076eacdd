"""Gradescope's `results.json`: one submission, a test for each question."""

from __future__ import annotations

import json
from typing import Any

from gradtool.lint.choice import Choice
from gradtool.lint.result import Answer, Course, Graded
from gradtool.report.feedback import told
from gradtool.spec.usage import UsageError

NAME = "gradescope"
ABOUT = "results.json of a Gradescope autograder, for one submission"
_LONGEST = 20_000


def text(course: Course, choice: Choice) -> str:
    """The document.

    Raises:
        UsageError: not exactly one submission was graded.
    """
    graded = list(course.graded)
    if len(graded) != 1:
        raise UsageError(
            f"the format gradescope is for one submission, found {len(graded)}",
            "Gradescope runs the autograder once for each submission; use csv for a class",
        )
    return json.dumps(_results(graded[0], course, choice), indent=1, ensure_ascii=True) + "\n"


def _results(one: Graded, course: Course, choice: Choice) -> dict[str, Any]:
    heading = course.heading
    return {
        "score": one.points,
        "execution_time": max(0, round(one.seconds)),
        "output": f"{heading.title}: {one.points:g} of {one.of:g} points",
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [
            _test(number, answer, course, choice)
            for number, answer in enumerate(one.answers, start=1)
        ],
        "extra_data": {
            "gradtool": heading.version,
            "seed": one.seed,
            "sandbox": [layer.name for layer in heading.sandbox.layers if layer.active],
            "unguarded": list(heading.sandbox.missing),
        },
    }


def _test(number: int, answer: Answer, course: Course, choice: Choice) -> dict[str, Any]:
    return {
        "name": answer.question,
        "number": str(number),
        "score": answer.points,
        "max_score": answer.of,
        "status": "passed" if answer.passed else "failed",
        "visibility": "visible",
        "output": "\n".join(told(answer, course.heading, choice))[:_LONGEST],
        "output_format": "text",
    }
