"""From a verdict to findings: one for each thing that a student should read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from gradtool.check.definitions import CUT_SHORT, NOT_READ
from gradtool.check.result import Compared, Remark, Trouble, Verdict, within
from gradtool.lint.result import Finding, Spot

End = Literal["timeout", "memory", "exit", "crash", "garbled"]
"""How a worker was lost."""

_ENDS: dict[End, str] = {
    "timeout": "GT107",
    "memory": "GT108",
    "exit": "GT109",
    "crash": "GT109",
    "garbled": "GT110",
}
_REMARKS = {
    "scale": "GT301",
    "shape": "GT302",
    "float32": "GT303",
    "mutates": "GT304",
    "aliases": "GT305",
    "state": "GT306",
    "accumulates": "GT306",
    "random": "GT306",
    "restricted": "GT307",
}
_STANDINGS = {"wrong": "GT202", "follows": "GT205", "not offered": "GT203", "not computed": "GT204"}
_STANDING_WORDS = {
    "follows": "fits your forward pass, which is wrong",
    "not offered": "was not returned",
    "not computed": "was not computed",
}


def findings(verdict: Verdict, end: End | None) -> tuple[Finding, ...]:
    """Every finding in a verdict; `end` says how the worker was lost, if it was."""
    return tuple(dict.fromkeys(_all(verdict, end)))


def _all(verdict: Verdict, end: End | None) -> Iterator[Finding]:
    unfinished = next((r for r in verdict.remarks if r.code == "unfinished"), None)
    at = called_at(verdict)
    first, last = at[0], at[-1]
    lost = Spot(verdict.trouble_line, verdict.trouble_place)
    if unfinished is not None:
        spot = lost if verdict.trouble is not None else last
        yield spot.finding("GT206", unfinished.message)
    elif verdict.trouble is not None:
        yield lost.finding(*_trouble(verdict, verdict.trouble, end))
    for output in verdict.forward:
        if output.standing == "wrong":
            yield _compared("GT201", output.name, output, compared_at(verdict, output, first))
    missing_is_told = unfinished is not None or verdict.trouble is not None
    for gradient in verdict.gradients:
        code = _STANDINGS.get(gradient.standing)
        told = missing_is_told and gradient.standing in ("not offered", "not computed")
        if code is not None and not told:
            spot = compared_at(verdict, gradient, last)
            yield _compared(code, f"d{gradient.name}", gradient, spot)
    yield from _remarks((*verdict.remarks, *verdict.conduct), first)
    if verdict.spared:
        yield last.finding("GT309", f"not looked at: {'; '.join(verdict.spared)}")


def called_at(verdict: Verdict) -> list[Spot]:
    """Where the functions are that were called; one that is unknown, without any."""
    return [Spot(c.line, within(verdict.file, c.place)) for c in verdict.called] or [Spot()]


def compared_at(verdict: Verdict, row: Compared, otherwise: Spot) -> Spot:
    """Where an output or a gradient is assigned, if that is known."""
    return Spot(row.line, within(verdict.file, row.place)) if row.line else otherwise


def _compared(code: str, label: str, row: Compared, at: Spot) -> Finding:
    parts = []
    worst = row.worst
    if worst is not None and row.standing == "wrong":
        index = ", ".join(map(str, worst.index))
        parts.append(f"{label}{f'[{index}]' if index else ''} is {worst.got:.4g}, which is wrong")
    elif row.standing in _STANDING_WORDS:
        parts.append(f"{label} {_STANDING_WORDS[row.standing]}")
    if row.message:
        parts.append(row.message)
    cause = row.cause
    return Finding(
        code,
        "; ".join(parts) or f"{label} is wrong",
        at.line,
        label,
        cause.code if cause else "",
        (cause.title or cause.message) if cause else "",  # a title gives no formula away
        at.place,
    )


def _trouble(verdict: Verdict, trouble: Trouble, end: End | None) -> tuple[str, str]:
    """The code of a trouble and what is said of it."""
    message = trouble.message
    if trouble.source:
        message += f" (in: {trouble.source})"
    if right := verdict.right_until_lost:
        verb = "were" if len(right) > 1 else "was"
        message += f"; until then {', '.join(right)} {verb} right, but not everything was looked at"
    if end is not None and trouble.stage in ("worker", "import", "forward", "backward", "setup"):
        return _ENDS[end], message
    if trouble.stage == "file":
        return "GT103", message
    if trouble.stage == "import":
        return "GT104", message
    if trouble.stage in ("binding", "snippet"):
        # What is not there may be so because the file did not run to its end.
        cut = [note for note in verdict.notes if note.startswith(CUT_SHORT)]
        unread = [note for note in verdict.notes if note.startswith(NOT_READ)]
        return "GT105", "; ".join([*unread[:1], message, *cut[:1]])
    if trouble.stage == "unclear":
        return "GT207", message
    if "MemoryError" in trouble.message.partition(":")[0]:  # NumPy has one of its own
        return "GT108", message
    return "GT106", f"{trouble.stage}: {message}"


def _remarks(remarks: Iterable[Remark], at: Spot) -> Iterator[Finding]:
    for remark in remarks:
        if remark.code != "unfinished":
            yield at.finding(_REMARKS.get(remark.code, "GT308"), remark.message)
