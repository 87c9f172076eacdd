"""Points: all for a right answer, shares for what is right in a wrong one."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from gradtool.check.result import Verdict
from gradtool.lint.assignment import Credit, Question
from gradtool.lint.result import Part
from gradtool.spec.model import LayerSpec

FORWARD = "forward"


def parts(
    question: Question, gradients: Iterable[str], verdict: Verdict | None
) -> tuple[Part, ...]:
    """What each share of a question's points earned.

    `gradients` are the variables whose gradient the layer has; `verdict` is None where nothing
    could be checked, or where nothing counts.
    """
    shares = _shares(question.credit, tuple(gradients))
    whole = sum(shares.values(), Fraction(0))
    right = verdict is not None and verdict.verdict == "pass"
    found = []
    for name, share in shares.items():
        worth = question.points * share / whole
        earned = worth if right else worth * _earned(question.credit, name, verdict)
        label = name if name == FORWARD else f"d{name}"
        found.append(Part(label, _rounded(earned), _rounded(worth)))
    return tuple(found)


def unknown_shares(question: Question, spec: LayerSpec) -> tuple[str, ...]:
    """Names in the stated shares that the layer has no gradient of."""
    known = {FORWARD, *(v.name for v in spec.variables if v.differentiable)}
    return tuple(name for name in question.credit.shares if name not in known)


def _shares(credit: Credit, gradients: tuple[str, ...]) -> dict[str, Fraction]:
    if credit.kind == "stated":
        return {name: share for name, share in credit.shares.items() if share}
    if credit.kind == "none" or not gradients:
        return {FORWARD: Fraction(1)}  # one share, which only a right answer earns
    return dict.fromkeys((FORWARD, *gradients), Fraction(1))


def _earned(credit: Credit, name: str, verdict: Verdict | None) -> Fraction:
    if verdict is None or credit.kind == "none":
        return Fraction(0)
    if name == FORWARD:
        outputs = [o for o in verdict.forward if o.standing != "not offered"]
        return Fraction(bool(outputs) and all(o.standing == "ok" for o in outputs))
    for gradient in verdict.gradients:
        if gradient.name == name:
            if gradient.standing == "ok":
                return Fraction(1)
            return credit.follows if gradient.standing == "follows" else Fraction(0)
    return Fraction(0)


def _rounded(value: Fraction) -> float:
    return round(float(value), 8)  # shares are added up again: rounded for good by the sum
