"""SARIF 2.1.0, for code scanning: stable rules, places, fingerprints."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote

from gradtool.lint.choice import Choice
from gradtool.lint.result import Answer, Course, Finding, Graded
from gradtool.lint.rules import RULES, Rule
from gradtool.lint.summary import summary
from gradtool.report.findings_text import detail

NAME = "sarif"
ABOUT = "SARIF 2.1.0, for code scanning"
_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def text(course: Course, choice: Choice) -> str:
    """One run; a result for each finding."""
    order = {code: index for index, code in enumerate(RULES)}
    results = [
        _result(one, answer, finding, course, order[finding.code])
        for one in course.graded
        for answer, finding in choice.of(one)
    ]
    heading = course.heading
    run = {
        "tool": {
            "driver": {
                "name": "gradtool",
                "version": heading.version,
                "rules": [_rule(rule) for rule in RULES.values()],
            }
        },
        "results": results,
        "columnKind": "unicodeCodePoints",
        "properties": {
            "assignment": heading.assignment,
            "seeds": list(summary(course.graded, choice).seeds),
            "sandbox": [layer.name for layer in heading.sandbox.layers if layer.active],
            "unguarded": list(heading.sandbox.missing),
        },
    }
    data = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(data, indent=1, ensure_ascii=True) + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.about},
        "fullDescription": {"text": rule.about},
        "help": {"text": rule.help},
        "defaultConfiguration": {"level": rule.level},
    }


def _result(
    one: Graded, answer: Answer, finding: Finding, course: Course, index: int
) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": uri(path_of(one, answer, course))}}
    if finding.line_of_file > 0:
        location["region"] = {"startLine": finding.line_of_file}
    identity = "\0".join((one.name, answer.question, finding.code, finding.subject))
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": RULES[finding.code].level,
        "message": {"text": f"{answer.question}: {detail(finding, course.heading.explain)}"},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"gradtool/v1": fingerprint(identity)},
    }


def path_of(one: Graded, answer: Answer, course: Course) -> str:
    """The file of a finding, as a path from where the user stands."""
    top = f"{course.folder}/{one.name}" if course.folder else one.name
    inside = answer.file and not one.name.endswith((".py", ".ipynb"))
    return f"{top}/{answer.file}" if inside else top


def uri(path: str) -> str:
    """A relative URI reference; a colon is quoted, or what is before it would be a scheme."""
    return quote(path, safe="/")


def fingerprint(identity: str) -> str:
    """The same for the same finding in the next run, wherever its line has moved."""
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32]
