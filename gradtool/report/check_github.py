"""A verdict as annotations of GitHub Actions, at the lines that are wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gradtool.check.result import Compared, Verdict
from gradtool.report.formats.github import command


def document(verdicts: Iterable[Verdict], *, hide_expected: bool = False) -> str:
    """One workflow command for each finding, and one for what was not matched with a layer."""
    lines = (line for verdict in verdicts for line in _lines(verdict, hide_expected))
    return "".join(f"{line}\n" for line in lines)


def _lines(verdict: Verdict, hide_expected: bool) -> Iterator[str]:
    layer = verdict.layer or "gradtool"
    trouble = verdict.trouble
    if trouble is not None:
        level = "notice" if trouble.stage == "match" else "error"
        yield command(level, _at(verdict, verdict.trouble_line, layer), trouble.message)
    for label, row in verdict.rows:
        if row.standing == "wrong":
            line = row.line or _first_line(verdict)
            yield command(
                "error", _at(verdict, line, layer), f"{label} {_text(label, row, hide_expected)}"
            )
    for remark in (*verdict.remarks, *verdict.conduct):
        yield command("warning", _at(verdict, _first_line(verdict), layer), remark.message)


def _at(verdict: Verdict, line: int, layer: str) -> dict[str, str]:
    place = {"line": str(line)} if line else {}
    return {"file": verdict.file, **place, "title": layer}


def _first_line(verdict: Verdict) -> int:
    return verdict.called[-1].line if verdict.called else 0


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
