"""A finding in words, the same in every report."""

from __future__ import annotations

from gradtool.lint.result import Answer, Finding
from gradtool.lint.rules import RULES
from gradtool.report.safe import one_line


def detail(finding: Finding, explain: bool) -> str:
    """One line: code, message, place, and the cause where it may be told."""
    where = f" (line {finding.line})" if finding.line else ""
    text = f"{finding.code} {one_line(finding.message)}{where}"
    return f"{text}; cause: {one_line(finding.why)}" if explain and finding.why else text


def standing(answer: Answer) -> str:
    """A question in a few characters: ``ok`` or what is wrong first."""
    if answer.passed:
        return "ok"
    for finding in answer.findings:
        rule = RULES[finding.code]
        if rule.level == "error":
            subject = f"{finding.subject} " if finding.subject else ""
            return subject + rule.name.replace("-", " ").removeprefix("gradient ")
    return "wrong"
