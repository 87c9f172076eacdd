"""`gradtool explain`: what a code of a report means."""

from __future__ import annotations

from gradtool.lint.rules import BY_NAME, RULES, Rule
from gradtool.spec.suggest import did_you_mean
from gradtool.spec.usage import UsageError


def text(code: str | None) -> str:
    """What one code means, by code or name; a line for each without one.

    Raises:
        UsageError: there is no such code.
    """
    if code is None:
        width = max(map(len, BY_NAME))
        return "\n".join(f"{r.code}  {r.name:<{width}}  {r.about}" for r in RULES.values())
    rule = RULES.get(code.upper()) or BY_NAME.get(code.lower())
    if rule is None:
        hint = did_you_mean(code, [*RULES, *BY_NAME]) or "`gradtool explain` lists all codes"
        raise UsageError(f"there is no code '{code}'", hint)
    return _whole(rule)


def _whole(rule: Rule) -> str:
    costs = "costs the verdict" if rule.level == "error" else "does not cost the verdict"
    return f"{rule.code} {rule.name} ({rule.level}: {costs})\n\n{rule.about}\n{rule.help}"
