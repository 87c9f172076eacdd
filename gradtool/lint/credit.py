"""Points: all for a right answer, shares for what is right in a wrong one."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache

from gradtool.check.result import Verdict
from gradtool.lint.assignment import Credit, CreditKind, Question
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
    credit = question.credit
    stated = tuple(credit.shares.items())
    right = verdict is not None and verdict.verdict == "pass"
    found = []
    for name, worth, of in _worths(question.points, credit.kind, stated, tuple(gradients)):
        earned = of if right else _rounded(worth * _earned(credit, name, verdict))
        label = name if name == FORWARD else f"d{name}"
        found.append(Part(label, earned, of))
    return tuple(found)


def unknown_shares(question: Question, spec: LayerSpec) -> tuple[str, ...]:
    """Names in the stated shares that the layer has no gradient of."""
    known = {FORWARD, *(v.name for v in spec.variables if v.differentiable)}
    return tuple(name for name in question.credit.shares if name not in known)


@lru_cache(maxsize=256)  # the same for everybody who is asked a question
def _worths(
    points: Fraction,
    kind: CreditKind,
    stated: tuple[tuple[str, Fraction], ...],
    gradients: tuple[str, ...],
) -> tuple[tuple[str, Fraction, float], ...]:
    """What each share is worth, exactly and as it is told."""
    if kind == "stated":
        shares = {name: share for name, share in stated if share}
    elif kind == "none" or not gradients:
        shares = {FORWARD: Fraction(1)}  # one share, which only a right answer earns
    else:
        shares = dict.fromkeys((FORWARD, *gradients), Fraction(1))
    whole = sum(shares.values(), Fraction(0))
    worths = {name: points * share / whole for name, share in shares.items()}
    return tuple((name, worth, _rounded(worth)) for name, worth in worths.items())


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
            # Of a forward pass that does not use a variable there is nothing to differentiate.
            follows = gradient.standing == "follows" and not gradient.nothing
            return credit.follows if follows else Fraction(0)
    return Fraction(0)


def _rounded(value: Fraction) -> float:
    return round(float(value), 8)  # shares are added up again: rounded for good by the sum
