"""Shapes that a docstring states: ``- x: input data, of shape (N, D)``."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from gradtool.ir.dims import Dim

_BULLETS = "-*:• \t"
_CLOSING = {"(": ")", "[": "]"}
_ENDS = (":", "--", ",", " ", "(")


def shapes_of(docstring: str, names: Iterable[str]) -> dict[str, str]:
    """For each of the names the shape that its entry states, such as ``N, D``; "" for none.

    An entry begins with the name, after a bullet, and goes on to the next one.  A shape is the
    first bracket of sizes in it; one that is not understood, such as ``(N, d_1, ..., d_k)``, is
    none.
    """
    known = set(names)
    found: dict[str, str] = {}
    current = ""
    for line in docstring.splitlines():
        if not line.strip():
            current = ""
        for part in _parts(line, known):
            current = _entry(part, known) or current
            if current and current not in found:
                shape = next(_shapes(part), None)
                if shape is not None:
                    found[current] = shape
    return found


def labels_in(docstring: str, names: Iterable[str]) -> set[str]:
    """The names whose entry speaks of labels or indices."""
    known = set(names)
    found = set()
    for line in docstring.splitlines():
        name = _entry(line, known)
        words = line.lower()
        if name and ("label" in words or "integer indices" in words or "word indices" in words):
            found.add(name)
    return found


def docstring_of(tree: ast.AST, owner: str | None, function: str) -> str:
    """The docstring of a function or method of a module; "" where it has none."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == owner:
            return (ast.get_docstring(node) or "") + "\n" + docstring_of(node, None, function)
        if owner is None and isinstance(node, ast.FunctionDef) and node.name == function:
            return ast.get_docstring(node) or ""
    return ""


def _parts(line: str, names: set[str]) -> Iterator[str]:
    """The entries of a line that has several: ``x: (N, D), w: (D, C)``."""
    part = ""
    for piece in line.split(","):
        if part and _entry(piece, names):
            yield part
            part = piece
        else:
            part = f"{part},{piece}" if part else piece
    yield part


def _entry(line: str, names: set[str]) -> str:
    """The name that an entry begins with, if it is one of those."""
    text = line.strip().removeprefix(":param").strip(_BULLETS)
    text = text.removeprefix("param ")
    for name in names:
        rest = text[len(name) :].lstrip()
        if text.startswith(name) and rest.startswith((*_ENDS[:3], "(")):
            return name
    return ""


def _shapes(line: str) -> Iterator[str]:
    for start, bracket in enumerate(line):
        if bracket not in _CLOSING:
            continue
        end = line.find(_CLOSING[bracket], start)
        inner = line[start + 1 : end] if end >= 0 else ""
        parts = [part.strip() for part in inner.split(",") if part.strip()]
        if parts and all(map(_is_size, parts)) and ("," in inner or "shape" in line.lower()):
            yield ", ".join(parts)


def _is_size(text: str) -> bool:
    if not text or not all(c.isalnum() or c in "_+-*/ " for c in text):
        return False
    try:
        Dim.parse(text)
    except Exception:  # it has its own messages, which are not for a guess
        return False
    return len(text.split()) == 1 or any(c in text for c in "+-*/")
