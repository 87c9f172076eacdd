"""The words for each cause: one YAML file per code in `explained`, with wrong and right examples.

A file has a `title` that gives no formula away, `about` for whoever wants to know more, and an
example: `spec`, the `code` of a correct file, and `wrong`, which replaces the piece `right` of it.
The tests check every example: the changed file is diagnosed as that code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

_FOLDER = "explained"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What `gradtool explain` tells of a cause; the example is empty where none can be short."""

    code: str
    title: str
    about: str
    spec: str = ""
    example: str = ""
    right: str = ""
    wrong: str = ""


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
