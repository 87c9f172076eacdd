"""The terminal output of `derive`: readable in 80 columns, plain when it is piped."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from gradtool.ir.dims import sizes_text
from gradtool.records import Struct
from gradtool.report.sheet import Row, Sheet


class Styled(Struct, frozen=True):
    """A piece of a line and the style that a colour terminal gives it."""

    text: str
    style: str = ""


StyledLine = list[Styled]


def layout(sheet: Sheet, width: int) -> list[StyledLine]:
    """The lines of a sheet for a terminal of `width` columns."""
    lines: list[StyledLine] = []
    lines += _title(sheet, width)
    inner = [row for row in sheet.rows if row.role == "inner"]
    others = [row for row in sheet.rows if row.role != "inner"]
    if inner:
        lines.append([])
        for number, row in enumerate(inner):
            lead = "  with " if number == 0 else "       "
            shown = row.text if row.indexed else f"{row.name} = {row.text}"
            shown += f"   {row.note}" if row.note else ""
            lines += _wrapped(lead, shown, width, "cyan")
    lines.append([])
    for loop, run in groupby(others, key=lambda row: row.role == "loop"):
        rows = list(run)
        lines += _loops(rows, width) if loop else _table(rows, width)
    for name in sheet.zero:
        why = f"no output depends on {name}"
        if name in sheet.compared:
            why = f"outputs depend on {name} through comparisons only"
        lines.append(
            [
                Styled("  "),
                Styled(f"d{name}", "bold"),
                Styled(f" is zero: {why}", "yellow"),
            ]
        )
    lines.append([])
    for remark in (*sheet.remarks, *sheet.departures, *sheet.conventions):
        lines += _wrapped("", f"note: {remark}", width, "dim")
    lines += _wrapped("", _certified(sheet), width, "green")
    return lines


def _certified(sheet: Sheet) -> str:
    count = len(sheet.size_sets)
    text = (
        f"certified to 1e-{sheet.digits} against {sheet.against} "
        f"({count} size set{'s' if count != 1 else ''}); printed formulas evaluated"
    )
    if sheet.skipped:
        shown = "; ".join(map(sizes_text, sheet.skipped))
        text += f"; singular, so not checked, at {shown}"
    return text


def _title(sheet: Sheet, width: int) -> list[StyledLine]:
    dims = ", ".join(sheet.dims)
    if len(sheet.forward) == 1 and len(sheet.layer) + len(sheet.forward[0]) + 3 <= width:
        left = f"{sheet.layer}   {sheet.forward[0]}"
        gap = max(3, min(width - len(left) - len(dims), 47 - len(left)))
        line = [Styled(sheet.layer, "bold"), Styled("   " + sheet.forward[0])]
        if dims and len(left) + gap + len(dims) <= width:
            line.append(Styled(" " * gap + dims, "dim"))
        return [line]
    shapes = ", ".join(f"{name} {shape}" for name, shape in sheet.variables)
    results = ", ".join(f"{name} {shape}" for name, shape in sheet.outputs)
    title = f"{shapes} -> {results}"
    lines = _wrapped(sheet.layer + "   ", title, width, "dim")
    lines[0][0] = Styled(lines[0][0].text, "bold")
    lines.append([])
    for part in sheet.forward:
        lines += _wrapped("  ", part, width, "")
    return lines


def _table(rows: Sequence[Row], width: int) -> list[StyledLine]:
    """Name, shape, formula and note in columns; the note moves below when it does not fit."""
    if not rows:
        return []
    names = max(len(r.name) for r in rows)
    shapes = max(len(r.shape) for r in rows)
    formulas = max((len(r.text) for r in rows if r.note), default=0)
    indent = 2 + names + 2 + shapes + 3
    if indent > width // 2:
        indent = 6
    lines: list[StyledLine] = []
    for row in rows:
        head = f"  {row.name:<{names}}  {row.shape:<{shapes}}   "
        start: StyledLine = [
            Styled(f"  {row.name:<{names}}", "bold" if row.role == "gradient" else "cyan"),
            Styled(f"  {row.shape:<{shapes}}   ", "dim"),
        ]
        parts = _broken(row.text, max(20, width - indent))
        if len(head) > indent:
            lines.append(start)
            lines += [[Styled(" " * indent), Styled(part)] for part in parts]
        else:
            lines.append([*start, Styled(parts[0])])
            lines += [[Styled(" " * (indent + 2)), Styled(part)] for part in parts[1:]]
        if row.note:
            column = indent + formulas + 4
            if len(parts) == 1 and len(head) <= indent and column + len(row.note) <= width:
                lines[-1].append(Styled(" " * (column - indent - len(parts[0])) + row.note, "dim"))
            else:
                lines += [
                    [Styled(" " * indent), Styled(part, "dim")]
                    for part in _broken(row.note, max(20, width - indent))
                ]
    return lines


def _loops(rows: Sequence[Row], width: int) -> list[StyledLine]:
    lines: list[StyledLine] = []
    for row in rows:
        for part in row.text.split("\n"):
            inner = part.lstrip()
            lead = "  " + " " * (len(part) - len(inner))
            lines += _wrapped(lead, inner, width, "bold" if inner.startswith("for ") else "")
    return lines


def _wrapped(lead: str, text: str, width: int, style: str) -> list[StyledLine]:
    parts = _broken(text, max(20, width - len(lead) - 2))
    lines: list[StyledLine] = [[Styled(lead), Styled(parts[0], style)]]
    lines += [[Styled(" " * (len(lead) + 2)), Styled(part, style)] for part in parts[1:]]
    return lines


def _broken(text: str, width: int) -> list[str]:
    """Break at spaces so that every part fits, operators at the beginning of a line."""
    if len(text) <= width:
        return [text]
    parts: list[str] = []
    rest = text
    while len(rest) > width:
        cut = rest.rfind(" ", 0, width + 1)
        if cut <= 0:
            cut = rest.find(" ", width)
            if cut < 0:
                break
        before = rest[:cut].rstrip()
        # An operator begins the next line.
        last = before.rsplit(" ", 1)
        if len(last) == 2 and last[1] in {"+", "-", "*", "/", "@"} and len(last[0]) > 4:
            cut = len(last[0])
            before = last[0]
        parts.append(before)
        rest = rest[cut:].lstrip()
    parts.append(rest)
    return parts
