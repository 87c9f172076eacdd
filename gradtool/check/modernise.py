"""From the text of a user's file to a tree that this Python runs: converted where it is old."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, MutableMapping
from importlib.machinery import FileFinder, SourceFileLoader
from importlib.util import decode_source
from pathlib import Path
from types import CodeType
from typing import Any

from gradtool.check import python2
from gradtool.check.cells import FileProblem
from gradtool.check.division import classic
from gradtool.check.rewrite import Change, changed

Tell = Callable[[str], None]


def parsed(
    text: str,
    place: str,
    old: bool,
    tell: Tell,
    bound: Iterable[str] = (),
    known: MutableMapping[tuple[str, str], ast.Module] | None = None,
) -> tuple[str, ast.Module]:
    """The text and the tree of a piece of a user's code.

    Args:
        old: it is known to be Python 2, even where its syntax does not show it.
        bound: names that have a meaning from elsewhere.
        known: trees of texts that were parsed already, by place and text; each is taken once.

    Raises:
        SyntaxError: it is no Python at all.
        FileProblem: it is Python 2 and the converter is missing, or it cannot be parsed.
    """
    try:
        found = known.pop((place, text), None) if known else None
        tree = found or ast.parse(text, place)
        used = python2.uses_python2(tree, bound)
        if not old and not used:
            return text, tree
        error = SyntaxError(
            "it uses names that Python 3 does not have" if used else "as load: says"
        )
        old = True
    except ValueError as strange:  # half of a character in a notebook, say
        raise FileProblem(f"Python cannot read this file: {strange}", 0, place) from None
    except (MemoryError, RecursionError):
        raise FileProblem("the file is nested too deeply to be parsed") from None
    except SyntaxError as refused:
        error = refused
    if not (old or python2.is_python2(text, error)):
        raise error
    if not python2.converter_installed():
        line = error.lineno or 0
        raise FileProblem(f"{place} is Python 2 ({error.msg}): {python2.INSTALL}", line, place)
    converted = python2.converted(text, place)
    try:
        tree = ast.parse(converted or "?", place)
    except (SyntaxError, ValueError):
        raise error from None
    tell(f"{place} is Python 2: it was converted, and / of integers is the integer below")
    return converted or "", classic(tree)


class Importer:
    """A path hook for the user's own folders: helper modules are converted as the file is."""

    def __init__(
        self, roots: Iterable[Path], old: bool, tell: Tell, change: Change | None = None
    ) -> None:
        self.roots = tuple(roots)
        self.old = old
        self.tell = tell
        self.change = change

    def __call__(self, path: str) -> FileFinder:
        folder = Path(path)
        if not folder.is_dir() or not any(folder.is_relative_to(root) for root in self.roots):
            raise ImportError(f"{path} is none of the user's folders")
        return FileFinder(path, (self.loader, [".py"]))  # type: ignore[arg-type]

    def loader(self, name: str, path: str) -> SourceFileLoader:
        return _Loader(name, path, self)


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, importer: Importer) -> None:
        super().__init__(name, path)
        self.importer = importer

    def source_to_code(self, data: Any, path: Any, **_keywords: Any) -> CodeType:  # type: ignore[override]
        text = data if isinstance(data, str) else decode_source(bytes(data))
        place = Path(str(path)).name
        tree = parsed(text, place, self.importer.old, self.importer.tell)[1]
        if self.importer.change is not None:
            tree = changed(tree, place, self.importer.change)
        code = compile(tree, str(path), "exec", dont_inherit=True)
        assert isinstance(code, CodeType)
        return code
