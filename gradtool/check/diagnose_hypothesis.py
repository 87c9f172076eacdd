"""A possible mistake: what the user's gradient would then be, and how to say it."""

from __future__ import annotations

from collections.abc import Callable

from gradtool.check.diagnose_evidence import Seen
from gradtool.check.diagnose_program import Array
from gradtool.records import Struct

SPARED = 0.35  # costs a mistake in a line from which something right comes, too


def _nothing() -> str:
    return ""


class Hypothesis(Struct, frozen=True):
    """One mistake.

    Attributes:
        code: the cause, as `gradtool explain` knows it.
        cost: how far-fetched it is; of two that explain the numbers the cheaper one is told.
        what: the mistake in words that give no formula away.
        predict: the user's gradient at a point if this is the mistake; None where it has none.
        proof: what the gradient then equals, as a formula; made only when it is told.
        key: hypotheses with one key are the same mistake, seen in several gradients.
        inner: the value that the mistake is in, as it then is, where that is no gradient asked for.
    """

    code: str
    cost: float
    what: str
    predict: Callable[[Seen], Array | None]
    proof: Callable[[], str] = _nothing
    key: str = ""
    inner: Callable[[Seen], Array | None] | None = None
