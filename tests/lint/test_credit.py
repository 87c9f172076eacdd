"""Points: all for what is right, and shares that add up to no more than the question is worth."""

from __future__ import annotations

from fractions import Fraction

import pytest

from gradtool.check.result import Compared, Standing, Verdict
from gradtool.lint.assignment import Credit, Question
from gradtool.lint.credit import parts
from gradtool.records import replace
from gradtool.spec.model import Place

QUESTION = Question("q", "q", "affine", Place(1, 1), points=Fraction(10))


def verdict(forward: Standing, **standings: Standing) -> Verdict:
    gradients = tuple(Compared(name, "()", standing) for name, standing in standings.items())
    right = forward == "ok" and all(g.standing == "ok" for g in gradients)
    outputs = (Compared("Y", "()", forward),)
    return Verdict(
        "pass" if right else "fail",
        "f.py", "affine", (), "", (), outputs, gradients, (), (), (), None, 4, 0, "0",
    )  # fmt: skip


STATED = Credit("stated", {"forward": Fraction(1), "X": Fraction(3)}, Fraction(1, 2))


def of_nothing(found: Verdict, name: str) -> Verdict:
    """The same where the forward pass does not depend on a variable."""
    gradients = [replace(g, nothing=g.name == name) for g in found.gradients]
    return replace(found, gradients=tuple(gradients))


@pytest.mark.parametrize(
    ("credit", "found", "points"),
    [
        (Credit(), verdict("ok", X="ok", W="ok", b="ok"), 10),
        (Credit(), verdict("ok", X="ok", W="wrong", b="ok"), 7.5),
        (Credit(), verdict("wrong", X="ok", W="ok", b="ok"), 7.5),
        (Credit(), verdict("wrong", X="follows", W="ok", b="ok"), 5),
        (Credit(), verdict("not offered", X="wrong", W="wrong", b="wrong"), 0),
        (Credit("none"), verdict("ok", X="ok", W="wrong", b="ok"), 0),
        (Credit("none"), verdict("ok", X="ok", W="ok", b="ok"), 10),
        (STATED, verdict("ok", X="wrong", W="ok", b="ok"), 2.5),
        (STATED, verdict("wrong", X="follows", W="ok", b="ok"), 3.75),
        (STATED, of_nothing(verdict("wrong", X="follows", W="ok", b="ok"), "X"), 0),
        (STATED, of_nothing(verdict("wrong", X="follows", W="ok", b="ok"), "b"), 3.75),
        (STATED, verdict("ok", X="not computed", W="wrong", b="ok"), 2.5),
        (Credit(), None, 0),
    ],
)
def test_points(credit: Credit, found: Verdict | None, points: float) -> None:
    shares = parts(replace(QUESTION, credit=credit), ("X", "W", "b"), found)
    assert sum(share.points for share in shares) == pytest.approx(points)
    assert sum(share.of for share in shares) == pytest.approx(10)
