"""Tables of medians and ratios, as plain text that can be pasted into a document."""

from __future__ import annotations

from collections.abc import Sequence


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A title, a head and rows; the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, ["-" * width for width in widths], *rows]
    ]
    return "\n".join([title, *lines, ""])


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a Markdown page; the first column to the left, the others to the right."""
    rules = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rules, *rows))


def milliseconds(seconds: float | None) -> str:
    """Three significant digits or so; a dash for what was not measured."""
    if seconds is None:
        return "-"
    value = 1000 * seconds
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.3f}"


def ratio(value: float | None, of: float | None) -> str:
    """How many times `of` it is; a dash when one of them was not measured."""
    return "-" if value is None or not of else f"{value / of:.2f}x"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
