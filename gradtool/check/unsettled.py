"""What looks like a mistake and may be none: "" where it is one for all that is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradtool.check.judge import Judgement
from gradtool.check.result import Verdict
from gradtool.check.unwritten import unfinished

# What was to be given to the object, such as an optimiser, is not there.
_NOT_SET_UP = "AttributeError: 'NoneType'"
# What is mostly differentiated together with the loss behind it: p - y.
_FUSED = frozenset({"softmax", "sigmoid"})


def not_seen(verdict: Verdict) -> str:
    """What of an object was not found, or not set up: no mistake of the code that is known."""
    trouble = verdict.trouble
    if any(g.standing == "wrong" for g in verdict.gradients):
        return ""
    hidden = [g.name for g in verdict.gradients if g.standing == "not offered"]
    if unfinished(trouble):
        return ""
    if trouble and (hidden or trouble.message.startswith(_NOT_SET_UP)):
        raised = f"its {trouble.stage} raises {trouble.message} in line {trouble.line}"
        return f"{raised}; if the object needs more set-up, write it in a check: block"
    return where_unknown(hidden) if hidden else ""


def where_unknown(missing: Sequence[str]) -> str:
    """What is told where gradients may be somewhere else in the object."""
    where = " and ".join(f"d{name}" for name in missing)
    return f"where the object leaves {where} was not recognised; say it in a check: block"


def passes_on(judgement: Judgement, layer: str) -> str:
    """Why a backward pass that does nothing may be right: a loss behind it does it all."""
    outcomes = [
        (point.probe.upstream, outcome.array)
        for point in judgement.points
        for outcome in point.gradients.values()
    ]
    same = all(
        array is not None and any(np.array_equal(array, given) for given in upstream.values())
        for upstream, array in outcomes
    )
    if layer not in _FUSED or not outcomes or not same:
        return ""
    return (
        "its backward passes on what it is given: that is right only before a loss whose gradient "
        f"has the derivative of {layer} in it already; write a spec of both together"
    )
