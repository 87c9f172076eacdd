"""Buffers and results that cannot hold the numbers: integers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_program import Array


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    # Where nothing is left of the numbers, anything may be the reason.
    if evidence.tier or not any(np.any(seen.got) for seen in evidence.seen if not seen.is_right):
        return
    label = evidence.label
    for word, cut in (("cut off", np.trunc), ("rounded", np.round), ("rounded down", np.floor)):

        def predict(seen: Seen, f: np.ufunc = cut) -> Array | None:  # type: ignore[assignment]
            return np.asarray(f(seen.right))

        yield Hypothesis(
            "integer-buffer", 0.4, f"the decimals are {word}: an integer buffer or cast",
            predict, lambda w=word: f"your {label} equals the right one with its decimals {w}",  # type: ignore[misc]
        )  # fmt: skip
