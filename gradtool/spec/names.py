"""Which texts can name a variable, a constant, a size or a layer."""

from __future__ import annotations

import keyword
import unicodedata

MAX_NAME_LENGTH = 60


def normal_name(name: str) -> str:
    """The name as Python's own parser reads it: NFKC, so that both micro signs are one."""
    if name.isascii() or not name.isidentifier():
        return name
    return unicodedata.normalize("NFKC", name)


def name_fault(name: str) -> tuple[str, str] | None:
    """What is wrong with a name, and what to do; None when it can be used in formulas."""
    if keyword.iskeyword(name):
        hint = "write lam" if name == "lambda" else "choose another name"
        return f"'{name}' is a word of Python and cannot be a name", hint
    if name == "np":
        return "'np' is NumPy and cannot be a name", "choose another name"
    if name.startswith("__"):
        return f"expected a name, found '{name}': '__' is reserved", "drop the underscores"
    if not name.isidentifier():
        hint = "letters, digits and _, not beginning with a digit"
        alternative = name.replace("-", "_").replace(" ", "_")
        if alternative.isidentifier() and alternative != name:
            hint = f"write {alternative}"
        return f"expected a name, found {shown(name)}", hint
    if len(name) > MAX_NAME_LENGTH:
        return f"expected a name of at most {MAX_NAME_LENGTH} letters", ""
    return None


def shown(text: str) -> str:
    """A text as a message quotes it: short, on one line, nothing invisible in it."""
    short = text if len(text) <= 40 else text[:39] + "…"
    return f"'{short}'" if short.isprintable() else repr(short)
