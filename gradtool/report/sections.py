"""Explanations as plain data: headings, formulas and sentences, and their plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Literal

from gradtool.records import Struct


class Piece(Struct, frozen=True):
    """One line of an explanation.

    `role`: "stage" (a numbered line of the forward pass), "head" (a step), "result" (a formula to
    remember), "formula" (one on the way to it), "share" (where one share of a sum comes from) or
    "say" (a sentence).  `aside` stands at the right: a shape, or what the line is.
    """

    role: Literal["stage", "head", "result", "formula", "share", "say"]
    text: str
    aside: str = ""


class Section(Struct, frozen=True):
    heading: str
    pieces: tuple[Piece, ...]


def say(text: str) -> Piece:
    return Piece("say", text)


def formula(text: str, aside: str = "") -> Piece:
    return Piece("formula", text, aside)


def sections_text(sections: Iterable[Section], width: int) -> list[str]:
    """The sections as lines of at most `width` columns; formulas break at spaces only."""
    lines: list[str] = []
    for section in sections:
        if lines:
            lines.append("")
        heading = textwrap.wrap(section.heading, max(width, 30))
        lines += [*heading, "-" * max(map(len, heading)), ""]
        column = _column(section, width)
        for number, piece in enumerate(section.pieces):
            if piece.role == "head" and number:
                lines.append("")
            lines += _lines(piece, column, width)
    return lines


_INDENT = {"stage": 3, "head": 0, "result": 6, "formula": 6, "share": 3, "say": 3}


def _column(section: Section, width: int) -> int:
    """Where the asides of a section begin; a long line does not push the others away."""
    lengths = [
        _INDENT[p.role] + len(p.text) for p in section.pieces if p.aside and p.role != "head"
    ]
    return max((n for n in lengths if n <= 0.6 * width), default=0) + 3


def _lines(piece: Piece, column: int, width: int) -> list[str]:
    indent = " " * _INDENT[piece.role]
    if piece.role == "say":
        return textwrap.wrap(
            piece.text,
            max(width, 30),
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    if piece.role == "head" and piece.aside:
        return [f"{piece.text}   {piece.aside}"]  # short: a name and a shape
    whole = textwrap.wrap(
        piece.text,
        max(width, 30),
        initial_indent=indent,
        subsequent_indent=indent + "    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    if piece.aside:
        last = whole[-1]
        if len(last) < column and column + len(piece.aside) <= width:
            whole[-1] = f"{last:<{column}}{piece.aside}"
        elif len(last) + 3 + len(piece.aside) <= width:
            whole[-1] = f"{last}   {piece.aside}"
        else:
            whole.append(f"{indent}    {piece.aside}")
    return whole
