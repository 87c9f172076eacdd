"""`gradtool explain`: what a code of a report, or a cause of a wrong gradient, means."""

from __future__ import annotations

import textwrap

import yaml

from gradtool.check.causes.catalogue import Explanation, codes, explanation, title
from gradtool.lint.rules import BY_NAME, RULES, Rule
from gradtool.spec.suggest import did_you_mean
from gradtool.spec.usage import UsageError


def text(code: str | None) -> str:
    """What one code means, by code or name; a line for each without one.

    Raises:
        UsageError: there is no such code.
    """
    if code is None:
        width = max(map(len, (*BY_NAME, *codes())))
        rules = [f"{r.code}  {r.name:<{width}}  {r.about}" for r in RULES.values()]
        causes = [f"cause  {c:<{width}}  {title(c)}" for c in codes()]
        return "\n".join([*rules, "", *causes])
    cause = explanation(code.lower())
    if cause is not None:
        return _cause(cause)
    rule = RULES.get(code.upper()) or BY_NAME.get(code.lower())
    if rule is None:
        known = [*RULES, *BY_NAME, *codes()]
        hint = did_you_mean(code, known) or "`gradtool explain` lists all codes"
        raise UsageError(f"there is no code '{code}'", hint)
    return _whole(rule)


def _cause(cause: Explanation) -> str:
    """A cause with its example: the layer, the wrong line and the right one."""
    parts = [f"{cause.code}: {cause.title}", "", cause.about]
    if cause.wrong:
        forward = textwrap.indent(str(yaml.safe_load(cause.spec)["forward"]).rstrip(), "    ")
        both = cause.wrong_statements, cause.right_statements
        wrong, right = (textwrap.indent(text, "    ") for text in both)
        parts += ["", "forward:", forward, "", "wrong:", wrong, "", "right:", right]
    return "\n".join(parts)


def _whole(rule: Rule) -> str:
    costs = "costs the verdict" if rule.level == "error" else "does not cost the verdict"
    return f"{rule.code} {rule.name} ({rule.level}: {costs})\n\n{rule.about}\n{rule.help}"
