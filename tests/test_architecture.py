"""Imports run one way, without cycles, without relative imports, and light where it matters.

The rules are read off the syntax trees, so that an import inside a function counts too: hiding
one there does not make a dependency go away.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import gradtool
from gradtool.records import Struct

# From left to right; a package imports itself and what stands left of it.  The modules at the
# top (the command line) stand at the very right.
LAYERS = ("ir", "ops", "spec", "derive", "emit", "numeric", "check", "lint", "report")

# Reading a spec must not cost a second: these never load the heavy libraries when imported.
LIGHT = {"ir", "ops", "spec"}
HEAVY = {"numpy", "sympy", "mpmath"}

RECORDS = "records"
"""The module that everything may use, and the only one that imports what records are made by."""


class Import(Struct, frozen=True):
    """One imported name: ``from a.b import c`` is `target` "a.b.c" (a module or a name in one).

    `on_load`: runs when the importing module is imported, not later in a function and not only
    for the type checker.
    """

    line: int
    target: str
    relative: bool
    on_load: bool


def imports_of(tree: ast.AST, on_load: bool = True) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield Import(node.lineno, alias.name, False, on_load)
            case ast.ImportFrom(module=module, names=names, level=level):
                for alias in names:
                    target = f"{module or ''}.{alias.name}".strip(".")
                    yield Import(node.lineno, target, level > 0, on_load)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from imports_of(node, False)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from imports_of(node, False)
            case _:
                yield from imports_of(node, on_load)


def unequal(tree: ast.Module) -> list[int]:
    """The lines of records whose ``!=`` does not ask their `__eq__`."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "Struct" for base in node.bases)
        and any(isinstance(one, ast.FunctionDef) and one.name == "__eq__" for one in node.body)
    ]


def violations(package: Path) -> list[str]:
    """Every broken rule in the package in folder `package`, one text each."""
    root = package.name
    files = {_module(path, package): path for path in sorted(package.rglob("*.py"))}
    found: list[str] = []
    graph: dict[str, set[str]] = {name: set() for name in files}
    for name, path in files.items():
        place = path.relative_to(package.parent).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"), place)
        found += [f"{place}:{line}: no `Own`, and compares by itself" for line in unequal(tree)]
        for used in imports_of(tree):
            where = f"{place}:{used.line}"
            if used.relative:
                found.append(f"{where}: relative import of {used.target}")
                continue
            top = used.target.split(".")[0]
            if top == "msgspec" and _layer(name, root) != RECORDS:
                found.append(f"{where}: msgspec is imported beside {root}.{RECORDS}")
            if top in HEAVY and used.on_load and _layer(name, root) in LIGHT:
                found.append(f"{where}: {top} is imported when {name} is")
            if top != root:
                continue
            target = _defining_module(used.target, files)
            if target is None:
                found.append(f"{where}: there is no module {used.target}")
                continue
            if _rank(target, root) > _rank(name, root):
                found.append(f"{where}: {name} imports {target}, which stands to its right")
            if target != name:
                graph[name].add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append("cycle: " + " -> ".join(reversed(error.args[1])))
    return found


def _module(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _defining_module(target: str, files: dict[str, Path]) -> str | None:
    """The module that an import of `target` loads: itself, or what it is a name in."""
    parent = target.rpartition(".")[0]
    return target if target in files else parent if parent in files else None


def _layer(module: str, root: str) -> str:
    return module.removeprefix(root).strip(".").split(".")[0]


def _rank(module: str, root: str) -> int:
    layer = _layer(module, root)
    if layer in ("", RECORDS):
        return -1  # the package itself, which holds the version
    return LAYERS.index(layer) if layer in LAYERS else len(LAYERS)


PACKAGE = Path(gradtool.__file__).parent


def test_the_package_keeps_the_rules() -> None:
    assert violations(PACKAGE) == []


def test_every_folder_is_a_layer() -> None:
    # A new folder that is not in the list would count as command line and may import anything.
    folders = {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE}
    assert {folder.relative_to(PACKAGE).parts[0] for folder in folders} == set(LAYERS)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(
            {"ir/a.py": "from tree.derive import b", "derive/b.py": ""},
            "tree/ir/a.py:1: tree.ir.a imports tree.derive.b, which stands to its right",
            id="to the right",
        ),
        pytest.param(
            {"emit/a.py": "import tree.numeric.b", "numeric/b.py": ""},
            "tree/emit/a.py:1: tree.emit.a imports tree.numeric.b, which stands to its right",
            id="emit runs nothing",
        ),
        pytest.param(
            {"check/a.py": "def f():\n    from tree.cli import main", "cli.py": "main = 1"},
            "tree/check/a.py:2: tree.check.a imports tree.cli, which stands to its right",
            id="inside a function",
        ),
        pytest.param(
            {"ir/a.py": "from . import b", "ir/b.py": ""},
            "tree/ir/a.py:1: relative import of b",
            id="relative",
        ),
        pytest.param(
            {"ir/a.py": "from tree.ir.b import x", "ir/b.py": "import tree.ir.a"},
            "cycle: tree.ir.a -> tree.ir.b -> tree.ir.a",
            id="cycle",
        ),
        pytest.param(
            {"ir/a.py": "from tree.ir.gone import x"},
            "tree/ir/a.py:1: there is no module tree.ir.gone.x",
            id="missing module",
        ),
        pytest.param(
            {"spec/a.py": "try:\n    import numpy.linalg\nexcept ImportError: pass"},
            "tree/spec/a.py:2: numpy is imported when tree.spec.a is",
            id="heavy at import",
        ),
        pytest.param(
            {"ir/a.py": "from msgspec import Struct", "records.py": "import msgspec"},
            "tree/ir/a.py:1: msgspec is imported beside tree.records",
            id="records by another way",
        ),
        pytest.param(
            {"ir/a.py": "class A(Struct):\n    def __eq__(self, other): return True"},
            "tree/ir/a.py:1: no `Own`, and compares by itself",
            id="a record that compares by itself",
        ),
    ],
)
def test_each_rule_can_fail(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    found = violations(_tree(tmp_path, files))
    assert len(found) == 1
    if expected.startswith("cycle"):  # which module the cycle is told from is not fixed
        assert set(found[0].split(" -> ")[1:]) <= {"tree.ir.a", "tree.ir.b"}
    else:
        assert found == [expected]


def test_what_is_allowed_is_not_reported(tmp_path: Path) -> None:
    files = {
        "ir/a.py": "from tree import __version__\nimport numpyish",
        "numeric/b.py": "import numpy\nfrom tree.ir import a\nfrom tree.emit.c import name",
        "emit/c.py": "name = 1",
        "spec/d.py": "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import numpy\ndef f():\n    import sympy",
        "cli.py": "def main():\n    from tree.numeric import b",
    }
    assert violations(_tree(tmp_path, files)) == []


def _tree(folder: Path, files: dict[str, str]) -> Path:
    package = folder / "tree"
    for name, text in ({"__init__.py": "__version__ = 1"} | files).items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text, encoding="utf-8")
    return package
