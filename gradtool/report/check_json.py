"""A verdict as JSON, for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from gradtool.check.result import Cause, Compared, Remark, Verdict, Worst


def document(verdicts: Iterable[Verdict], *, hide_expected: bool = False) -> str:
    """An array with one object for each verdict."""
    return json.dumps([as_data(v, hide_expected=hide_expected) for v in verdicts], indent=2) + "\n"


def as_data(verdict: Verdict, *, hide_expected: bool = False) -> dict[str, Any]:
    """One verdict; numbers that JSON cannot write (nan, inf) become text."""
    trouble = verdict.trouble
    return {
        "verdict": verdict.verdict,
        "file": verdict.file,
        "layer": verdict.layer,
        "called": [{"name": c.name, "line": c.line} for c in verdict.called],
        "convention": verdict.convention,
        "binding": list(verdict.binding),
        "forward": [_compared(c, hide_expected) for c in verdict.forward],
        "gradients": [_compared(c, hide_expected) for c in verdict.gradients],
        "remarks": _remarks(verdict.remarks),
        "conduct": _remarks(verdict.conduct),
        "notes": list(verdict.notes),
        "error": None
        if trouble is None
        else {
            "stage": trouble.stage,
            "message": trouble.message,
            "place": trouble.place,
            "line": trouble.line or None,
        },
        "probes": verdict.probes,
        "seed": verdict.seed,
        "version": verdict.version,
    }


def _compared(row: Compared, hide_expected: bool) -> dict[str, Any]:
    cause = row.cause
    return {
        "name": row.name,
        "shape": row.shape,
        "verdict": row.standing,
        "error": _number(row.error),
        "worst": None if row.worst is None else _worst(row.worst, hide_expected),
        "message": row.message,
        "cause": None
        if cause is None
        else {
            "code": cause.code,
            "message": cause.title if hide_expected else _whole(cause),
            "explains": cause.explains,
        },
        "line": row.line,
    }


def _whole(cause: Cause) -> str:
    text = f"{cause.message}: {cause.proof}" if cause.proof else cause.message
    return f"{text} ({cause.measure})" if cause.measure else text


def _worst(worst: Worst, hide_expected: bool) -> dict[str, Any]:
    numbers = {"got": _number(worst.got), "bound": _number(worst.bound)}
    if not hide_expected:  # got and error together would give the right value away
        numbers |= {"expected": _number(worst.expected), "error": _number(worst.error)}
    return {"index": list(worst.index), **numbers, "sizes": dict(worst.sizes)}


def _remarks(remarks: Iterable[Remark]) -> list[dict[str, str]]:
    return [{"code": remark.code, "message": remark.message} for remark in remarks]


def _number(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
