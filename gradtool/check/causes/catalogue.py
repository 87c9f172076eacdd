"""The words for each cause: one YAML file per code in `explained`, with wrong and right examples.

A file has a `title` that gives no formula away, `about` for whoever wants to know more, and an
example: `spec`, the `code` of a correct file, and `wrong`, which replaces the piece `right` of it.
The tests check every example: the changed file is diagnosed as that code.
"""

from __future__ import annotations

import ast
import textwrap
from functools import cache
from importlib.resources import files

import yaml

from gradtool.records import Struct

_FOLDER = "explained"


class Explanation(Struct, frozen=True):
    """What `gradtool explain` tells of a cause; the example is empty where none can be short."""

    code: str
    title: str
    about: str
    spec: str = ""
    example: str = ""
    right: str = ""
    wrong: str = ""

    @property
    def right_statements(self) -> str:
        """The statements of the example that the piece `right` is in, whole."""
        return _statements(self.example, self.example.index(self.right), len(self.right))

    @property
    def wrong_statements(self) -> str:
        """The same with `wrong` in its place."""
        changed = self.example.replace(self.right, self.wrong)
        return _statements(changed, self.example.index(self.right), len(self.wrong))


def _statements(text: str, start: int, length: int) -> str:
    """The lines of every statement (of a compound one: its head) that a piece of a text touches."""
    first = text.count("\n", 0, start) + 1
    last = text.count("\n", 0, start + length) + 1
    touched = set(range(first, last + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            end = body[0].lineno - 1 if body else node.end_lineno or node.lineno
            lines = range(node.lineno, max(node.lineno, end) + 1)
            if lines.start <= last and first < lines.stop:
                touched.update(lines)
    kept = text.splitlines()[min(touched) - 1 : max(touched)]
    return textwrap.dedent("\n".join(kept))


def codes() -> tuple[str, ...]:
    """Every cause that has a file."""
    folder = files(__package__).joinpath(_FOLDER)
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml")))


@cache
def explanation(code: str) -> Explanation | None:
    """The words for a code; None when there is no such code."""
    file = files(__package__).joinpath(_FOLDER, f"{code}.yaml")
    if not code.replace("-", "").isalnum() or not file.is_file():
        return None
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    return Explanation(code, **{name: str(text).rstrip("\n") for name, text in data.items()})


def title(code: str) -> str:
    found = explanation(code)
    return found.title if found is not None else code.replace("-", " ")
