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
    """Text in a Markdown table or list that means nothing but itself."""
    shown = one_line(text)
    return "".join(f"&#{ord(c)};" if c in "\\`*_{}[]()<>#+!|~&@:$" else c for c in shown)
