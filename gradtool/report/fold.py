"""How wide and how plain what is printed must be, and lines that go on below themselves."""

from __future__ import annotations

import os
import shutil
import textwrap
from io import TextIOWrapper
from typing import TextIO

_NARROWEST = 30


def width_of(out: TextIO) -> int | None:
    """The columns of a terminal; None for what is piped."""
    if not out.isatty():
        return None
    return max(_NARROWEST, shutil.get_terminal_size((80, 24)).columns)


def is_styled(out: TextIO) -> bool:
    """Whether bold and colours are wanted: on a terminal that has them, unless NO_COLOR is set."""
    return out.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def folded(line: str, under: int, width: int | None) -> list[str]:
    """The line, broken between words into lines of at most `width`; later ones begin at `under`.

    A word that is longer stays whole.  Without a width the line is not broken.
    """
    if width is None or len(line) <= width:
        return [line]
    return textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * min(under, width // 2),
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    ) or [line]


def as_utf8(out: TextIO) -> None:
    """Let what is for programs be the same whatever the locale; a terminal shows what it can."""
    if isinstance(out, TextIOWrapper) and not out.isatty():
        out.reconfigure(encoding="utf-8", errors="backslashreplace")
