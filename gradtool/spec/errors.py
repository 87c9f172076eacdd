"""What is wrong with a spec, and where: collected, never raised one at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gradtool.ir.errors import UnsupportedError

__all__ = ["Problem", "SpecError", "UnsupportedError"]


class Problem(NamedTuple):  # no record: those take a while to import
    """One mistake in a file.

    Attributes:
        file: name as the user gave it.
        line, column: 1-based, in characters.
        length: how many characters the caret underlines (at least 1).
        source: the line itself, without its end; empty when there is none to show.
        message: what was expected and what was found, one sentence.
        hint: what to do next, or "".
    """

    file: str
    line: int
    column: int
    length: int
    source: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        lines = [f"{self.file}:{self.line}:{self.column}: {self.message}"]
        if self.source:
            shown, start = _window(self.source.replace("\t", " "), self.column - 1)
            length = max(1, min(self.length, len(shown) - start))
            lines += [f"    {shown}", "    " + " " * start + "^" * length]
        if self.hint:
            lines.append(f"    {self.hint}")
        return "\n".join(lines)


_SHOWN = 100


def _window(line: str, column: int) -> tuple[str, int]:
    """The part of a long line around a column, and where the column is in it."""
    if len(line) <= _SHOWN:
        return line, column
    begin = max(0, min(column - _SHOWN // 2, len(line) - _SHOWN))
    part = line[begin : begin + _SHOWN]
    before = "…" if begin else ""
    after = "…" if begin + _SHOWN < len(line) else ""
    return before + part + after, column - begin + len(before)


class SpecError(Exception):
    """Every problem of a spec, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(
            dict.fromkeys(sorted(problems, key=lambda p: (p.file, p.line, p.column)))
        )
        super().__init__("\n".join(map(str, self.problems)))
