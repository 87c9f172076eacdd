"""Where a file's own imports are found: its folder, its package, and one root at most."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from gradtool.check.nodes import nodes_of_file
from gradtool.records import Struct

_HIGHEST = 8  # folders above the file that are looked at


class Home(Struct, frozen=True):
    """`root` goes on the path beside the file's folder; `package` is "" outside of any."""

    root: Path
    package: str


def home_of(file: Path, trees: Iterable[ast.Module], root: Path | None = None) -> Home:
    """The home of a file by its imports; `root` is what the spec's `load:` says.

    A relative import needs a package, as many folders up as it has dots, whether or not they
    have an ``__init__.py``.  The root is the nearest folder in which the most of the otherwise
    unknown modules are found: one root, since a further one could change what a name means.
    """
    folder = file.parent
    nodes = [node for tree in trees for node in nodes_of_file(tree)]
    level = max((n.level for n in nodes if isinstance(n, ast.ImportFrom)), default=0)
    if root is None:
        top = folder
        for _ in range(level):
            top = top.parent
        while level and (top / "__init__.py").is_file() and top.parent != top:
            top = top.parent
        root = top if level else _root_for(_unknown(nodes), folder)
    package = ""
    if level and root != folder and folder.is_relative_to(root):
        package = ".".join(folder.relative_to(root).parts)
    return Home(root, package)


def _unknown(nodes: Iterable[ast.AST]) -> set[str]:
    """The top-level modules that are imported and neither installed nor built in."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.partition(".")[0])
    return {name for name in names if name not in sys.modules and not _installed(name)}


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _root_for(names: set[str], folder: Path) -> Path:
    def found(place: Path) -> int:
        return sum((place / name).is_dir() or (place / f"{name}.py").is_file() for name in names)

    missing = {name for name in names if not ((folder / f"{name}.py").is_file())}
    if not missing:
        return folder
    places = [folder, *list(folder.parents)[:_HIGHEST]]
    best = max(places, key=found)  # the first, so the nearest, of equals
    return best if found(best) else folder
