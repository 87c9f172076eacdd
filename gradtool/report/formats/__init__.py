"""Reports for other programs: each module here is one format and is found by itself.

A module has `NAME`, `ABOUT` (a line for the help) and `text(course, choice) -> str`; one that
may become long also has `pieces(course, choice)`, which yields the same bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol, cast

from gradtool.lint.choice import Choice
from gradtool.lint.result import Course


class Format(Protocol):
    """What a module of this package has."""

    NAME: str
    ABOUT: str

    def text(self, course: Course, choice: Choice) -> str:
        """The whole report."""


@cache
def names() -> tuple[str, ...]:
    """The names of all formats, without importing them: each is that of its module."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def find(name: str) -> Format:
    """The format of that name, which must be one of `names`."""
    return cast(Format, import_module(f"{__name__}.{name}"))


def pieces(name: str, course: Course, choice: Choice) -> Iterator[str]:
    """The report, piece by piece where the format can: a large class need not fit into memory."""
    module = import_module(f"{__name__}.{name}")
    if hasattr(module, "pieces"):
        yield from module.pieces(course, choice)
    else:
        yield find(name).text(course, choice)
