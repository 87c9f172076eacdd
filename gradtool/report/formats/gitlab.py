"""GitLab's Code Quality report."""

from __future__ import annotations

import json
from collections import Counter

from gradtool.lint.choice import Choice
from gradtool.lint.result import Course
from gradtool.lint.rules import RULES
from gradtool.report.findings_text import detail
from gradtool.report.formats.sarif import fingerprint, path_of

NAME = "gitlab"
ABOUT = "GitLab Code Quality"
_SEVERITIES = {"error": "major", "warning": "minor", "note": "info"}


def text(course: Course, choice: Choice) -> str:
    """A list with one object for each finding; every fingerprint is unique, as GitLab asks."""
    seen: Counter[str] = Counter()
    entries = []
    for one in course.graded:
        for answer, finding in choice.of(one):
            identity = "\0".join((one.name, answer.question, finding.code, finding.subject))
            seen[identity] += 1
            entries.append(
                {
                    "description": f"{answer.question}: {detail(finding, course.heading.explain)}",
                    "check_name": finding.code,
                    "fingerprint": fingerprint(f"{identity}\0{seen[identity]}"),
                    "severity": _SEVERITIES[RULES[finding.code].level],
                    "location": {
                        "path": path_of(one, answer, course),
                        "lines": {"begin": max(1, finding.line_of_file)},
                    },
                }
            )
    return json.dumps(entries, indent=1, ensure_ascii=True) + "\n"
