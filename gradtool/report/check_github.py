"""A verdict as annotations of GitHub Actions, at the lines that are wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gradtool.check.result import Compared, Verdict
from gradtool.lint.findings import called_at, compared_at
from gradtool.lint.result import Spot
from gradtool.report.formats.github import command


def document(verdicts: Iterable[Verdict], *, hide_expected: bool = False) -> str:
    """One workflow command for each finding, and one for what was not matched with a layer."""
    lines = (line for verdict in verdicts for line in _lines(verdict, hide_expected))
    return "".join(f"{line}\n" for line in lines)


def _lines(verdict: Verdict, hide_expected: bool) -> Iterator[str]:
    last = called_at(verdict)[-1]
    trouble = verdict.trouble
    if trouble is not None:
        level = "notice" if trouble.stage == "match" else "error"
        at = Spot(verdict.trouble_line, verdict.trouble_place)
        yield _command(level, verdict, at, trouble.message)
    for label, row in verdict.rows:
        if row.standing == "wrong":
            at = compared_at(verdict, row, last)
            yield _command("error", verdict, at, f"{label} {_text(label, row, hide_expected)}")
    for remark in (*verdict.remarks, *verdict.conduct):
        yield _command("warning", verdict, last, remark.message)


def _command(level: str, verdict: Verdict, at: Spot, message: str) -> str:
    """A command at a line of the file; one of a cell, or of another file, stands in the message."""
    line = at.line
    if line and at.place:
        line, message = 0, f"{message} ({at.place} line {line})"
    where = {"line": str(line)} if line else {}
    title = verdict.layer or "gradtool"
    return command(level, {"file": verdict.file, **where, "title": title}, message)


def _text(label: str, row: Compared, hide_expected: bool) -> str:
    parts = ["is wrong"]
    worst = row.worst
    if worst is not None:
        where = f"{label}{list(worst.index)}" if worst.index else label
        parts.append(
            f"{where} is {worst.got:.6g}"
            if hide_expected
            else f"{where} is {worst.got:.6g}, should be {worst.expected:.6g}"
        )
    if row.message:
        parts.append(row.message)
    if row.cause is not None and row.cause.code != "unknown":
        parts.append(row.cause.title if hide_expected else row.cause.message)
    return "; ".join(parts)
