"""Output that survives terminals and files which cannot hold every character."""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
from contextlib import suppress
from io import TextIOWrapper

_HANDLER = "gradtool-ascii"
_LEAST = 36  # columns for a text that stands beside a word

# What a reader would type instead; letters (Greek, accented) and box lines follow from their
# Unicode names and need no entry.
_SUBSTITUTES = {
    "∂": "d",
    "Σ": "sum",
    "∑": "sum",
    "∏": "prod",
    "√": "sqrt",
    "∞": "inf",
    "·": "*",
    "⋅": "*",
    "∗": "*",
    "⊙": "*",
    "×": "x",
    "÷": "/",
    "−": "-",
    "±": "+-",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "≈": "~=",
    "≡": "==",
    "∈": "in",
    "→": "->",
    "←": "<-",
    "↦": "->",
    "⇒": "=>",
    "–": "-",
    "—": "-",
    "′": "'",
    "″": "''",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "•": "*",
    "°": " deg",
    "✓": "ok",
    "✔": "ok",
    "✗": "x",
    "✘": "x",
    "§": "section ",
    # Shades, each darker than the one before.
    "░": ".",
    "▒": "-",
    "▓": "*",
    "█": "#",
}


def ascii_for(character: str) -> str:
    """The nearest ASCII text of one character: ``σ`` is ``sigma``, ``é`` is ``e``; else ``?``."""
    if character in _SUBSTITUTES:
        return _SUBSTITUTES[character]
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    if plain:
        return plain
    name = unicodedata.name(character, "")
    if name.startswith("BOX DRAWINGS"):
        if "HORIZONTAL" in name:
            return "+" if "VERTICAL" in name or "DOWN" in name or "UP" in name else "-"
        return "|" if "VERTICAL" in name else "+"
    if name.startswith("GREEK") and " LETTER " in name:
        letter = name.split(" LETTER ")[1].split(" WITH ")[0].lower()
        return letter.capitalize() if "CAPITAL" in name else letter
    return "?"


def _transliterate(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(ascii_for, error.object[error.start : error.end])), error.end


def prepare_streams() -> None:
    """Let stdout and stderr write any text, in ASCII where their encoding has no better.

    A stream that was closed before the start (``>&-``) becomes one that swallows its text.
    """
    codecs.register_error(_HANDLER, _transliterate)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def abandon_stdout() -> None:
    """Send what is left of stdout nowhere: its reader has gone.

    Without this the interpreter would write the rest once more on exit, and complain.
    """
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def beside(word: str, column: int, meaning: str) -> str:
    """A word and what it means from a column on; below it in a terminal without room for that."""
    width = _width()
    if width is not None and width - column < _LEAST:
        return folded(f"{word}\n    {meaning}".rstrip())
    return folded(f"{word:<{column}}{meaning}".rstrip())


def _width() -> int | None:
    """How many columns the terminal has that stdout is; None where it is none."""
    import shutil

    return max(30, shutil.get_terminal_size((80, 24)).columns) if sys.stdout.isatty() else None


def folded(text: str) -> str:
    """The text, its lines folded between words where stdout is a terminal that is too narrow.

    A folded line goes on under its last column, which two spaces set apart.  What is piped stays
    one line for each.
    """
    import textwrap

    width = _width()
    if width is None:
        return text
    lines: list[str] = []
    for line in text.split("\n"):
        column = line.rfind("  ") + 2 if "  " in line else 0
        under = " " * (column if column <= width - 20 else 8)
        lines += textwrap.wrap(
            line,
            width,
            subsequent_indent=under,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [line]
    return "\n".join(lines)
