"""Texts that a submission may have written, made harmless for where they are printed."""

from __future__ import annotations

_LONGEST = 2000


def one_line(text: str) -> str:
    """Printable characters in one line: no control, no direction marks, no workflow commands.

    CI systems read commands out of what is printed: ``##[…]`` anywhere in a line and ``::`` at
    its beginning. The first is broken here; a report never begins a line with foreign text.
    """
    shown = "".join(c if c.isprintable() else _visible(c) for c in text[:_LONGEST])
    return shown.replace("##[", "## [").strip()


def lines(text: str) -> str:
    """Printable characters, and the ends of lines."""
    return "".join(c if c.isprintable() or c == "\n" else _visible(c) for c in text)


def _visible(character: str) -> str:
    code = ord(character)
    if character in "\n\r\t":
        return " "
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else "?"


def is_xml(character: str) -> bool:
    """Whether XML 1.0 can hold a character at all."""
    code = ord(character)
    return (
        code in (0x9, 0xA, 0xD)
        or 0x20 <= code <= 0xD7FF
        or 0xE000 <= code <= 0xFFFD
        or 0x10000 <= code <= 0x10FFFF
    )


def xml_text(text: str) -> str:
    """Text that XML can hold; what it cannot is shown as an escape."""
    return "".join(c if is_xml(c) else f"\\x{ord(c):02x}" for c in text)


def cell(text: str) -> str:
    """A cell of a table that a spreadsheet will not take for a formula."""
    shown = one_line(text)
    return f"'{shown}" if shown.startswith(_FORMULAS) else shown


# The wide forms, too, which spreadsheets in Asian languages take for the others.
_FORMULAS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def markdown(text: str) -> str:
    """Text in a Markdown table, list or heading that means nothing but itself.

    Only what would mean something is escaped, so that people can read the text as it is, too.
    """
    shown = one_line(text)
    start = len(shown) - len(shown.lstrip("0123456789"))  # what may begin a list, or a part of one
    first = shown[start : start + 1]
    head, rest = "", shown
    if first in (".", ")") if start else first in ("-", "+", ">", "=", "["):
        head, rest = f"{shown[:start]}\\{first}", shown[start + 1 :]
    found = head + "".join(_escaped(rest, place) for place in range(len(rest)))
    return found.replace("www.", "www\\.")  # which alone makes a link on many platforms


_ALWAYS = "`*|~#$@{}"
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def _escaped(text: str, place: int) -> str:
    """One character of a line, with a backslash where it needs one."""
    before, character, after = text[:place][-1:], text[place], text[place + 1 : place + 2]
    match character:
        case "<":  # whoever reads only half of Markdown reads this
            return "&lt;"
        case "\\":
            special = after in _PUNCTUATION or not after
        case "_":  # within a word it is no emphasis
            special = not (before.isalnum() and after.isalnum())
        case "&":
            special = after.isalnum() or after == "#"
        case "]":  # of a link; without what follows there is none
            special = after in ("(", "[", "")
        case ":":
            special = after == "/"
        case _:
            special = character in _ALWAYS
    return f"\\{character}" if special else character
