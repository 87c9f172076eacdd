"""What an earlier call left behind: a stale cache, a gradient that is never set back to zero."""

from __future__ import annotations

from collections.abc import Iterator

from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_program import Array


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.tier or not evidence.shape_fits or len(evidence.seen) < 2:
        return
    label = evidence.label
    first = evidence.seen[0]

    def added(seen: Seen) -> Array | None:
        last = evidence.before(seen)
        if last is None:
            return seen.right
        return seen.right + last.got if last.got.shape == seen.right.shape else None

    def stale(seen: Seen) -> Array | None:
        last = evidence.before(seen)
        if last is None:
            return seen.right
        return last.right if last.right.shape == seen.right.shape else None

    yield Hypothesis(
        "accumulated", 0.8, "it is added to what the call before left: += without a reset", added,
        lambda: f"your {label} equals the right one + the {label} of the call before",
    )  # fmt: skip
    yield Hypothesis(
        "stale", 0.8, "it belongs to the call before: a stale cache", stale,
        lambda: f"your {label} equals the right one of the call before",
    )  # fmt: skip
    if first.is_right:

        def kept(seen: Seen) -> Array | None:
            return first.right if first.right.shape == seen.right.shape else None

        yield Hypothesis("stale", 0.85, "it belongs to the first call: a stale cache", kept)
