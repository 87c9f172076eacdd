"""Import a user's file, as it is, in the worker.

The file is a module named after itself, never ``__main__``.  A plain import is tried first;
what fails falls back to the definitions alone, statement by statement, and every departure
from a plain import is told.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from types import ModuleType

from gradtool.check import modernise
from gradtool.check.cells import Cell, FileProblem, not_parsed, read_cells, tagged
from gradtool.check.definitions import CUT_SHORT, NOT_READ, definitions
from gradtool.check.inventory import bound_names
from gradtool.check.modernise import Importer
from gradtool.check.python2 import missing_names
from gradtool.check.rewrite import Change, changed
from gradtool.check.roots import Home, home_of
from gradtool.check.standins import (
    Absent,
    Tell,
    importing,
    install_finders,
    install_numpy_aliases,
)
from gradtool.records import Struct, field, replace

_LINES = 5  # that are named of those that were left out


class Options(Struct, frozen=True):
    """The spec's `load:`; `only_definitions` is also tried by itself.

    `python2`: the file and its helper modules are Python 2, even where their syntax is not.
    `change` is made in all of them before they run.  `tag`: only the cells of a notebook that
    have it count, and none behind the last of them is run.
    """

    root: str | None = None
    only_definitions: bool = False
    python2: bool = False
    provide: Mapping[str, str] = field(default_factory=dict)
    change: Change | None = None
    tag: str | None = None


class Loaded(Struct, frozen=True):
    """A user's module, its cells with their trees, and what had to be done for it."""

    module: ModuleType
    cells: tuple[tuple[Cell, ast.Module], ...]
    notes: list[str]
    folder: Path

    def is_users(self, filename: str) -> bool:
        """Whether a file that a traceback names is the user's."""
        return any(cell.place == filename for cell, _ in self.cells)


class Known(Struct):
    """What was read and parsed of files before they are loaded; each is taken once.

    Attributes:
        cells: what `read_cells` gave, by the path.
        trees: of cells, by place and text.
    """

    cells: dict[str, tuple[tuple[Cell, ...], tuple[str, ...]]] = field(default_factory=dict)
    trees: dict[tuple[str, str], ast.Module] = field(default_factory=dict)


def load(path: Path, options: Options, known: Known | None = None) -> Loaded:
    """Import a file.

    Raises:
        FileProblem: it cannot be read or parsed.
    """
    notes: list[str] = []

    def tell(text: str) -> None:
        if text not in notes:
            notes.append(text)

    known = known or Known()
    read = known.cells.pop(str(path), None)
    cells, dropped = read or read_cells(path)
    if options.tag is not None:
        cells = tagged(cells, options.tag, path)
    if dropped:
        many = len(dropped) > 1
        what = f"{len(dropped)} lines that are" if many else "1 line that is"
        were = f"were dropped ({dropped[0]}, …)" if many else f"was dropped ({dropped[0]})"
        tell(f"{what} no Python {were}")
    trees = _parsed(cells, path, options.python2, tell, known.trees)
    if options.change is not None:
        trees = [(cell, changed(tree, cell.place, options.change)) for cell, tree in trees]
    home = home_of(path, [tree for _, tree in trees], Path(options.root) if options.root else None)
    texts = {cell.place: cell.text for cell, _ in trees}

    def mine(filename: str) -> bool:
        return Path(filename).is_relative_to(home.root)

    _put_in_front([str(path.parent), str(home.root)])
    sys.dont_write_bytecode = True
    sys.argv = [str(path)]
    os.environ.setdefault("MPLBACKEND", "Agg")
    # A plain import of helper modules must not leave byte code of converted ones behind.
    sys.path_hooks[:] = [hook for hook in sys.path_hooks if not isinstance(hook, Importer)]
    sys.path_hooks.insert(0, _importer(path, home, options, tell))
    tops = f"{home.root}{os.sep}", f"{path.parent}{os.sep}"
    for folder in list(sys.path_importer_cache):
        if f"{folder}{os.sep}".startswith(tops):
            del sys.path_importer_cache[folder]
    install_numpy_aliases(tell)
    if any("random" in cell.text for cell, _ in trees):
        # Before their states are set: a function may import them, or from them.
        import random  # noqa: F401

        import numpy.random  # noqa: F401
    install_finders(texts, mine, tell)
    _provide(options.provide)
    module = _module(path, home, tell)
    written = _written(cell for cell, _ in trees)
    sys.breakpointhook = lambda *_, **__: None
    with importing():
        for cell, tree in trees:
            own = written.get(cell.module, module)
            _run_cell(own, cell, tree, options.only_definitions, tell)
        trees = [
            _converted(written.get(cell.module, module), cell, tree, tell) for cell, tree in trees
        ]
    for one in reversed(written.values()):
        _take_over(module, one)
    return Loaded(module, tuple(trees), notes, home.root)


def _written(cells: Iterable[Cell]) -> dict[str, ModuleType]:
    """The modules that cells are written to, each to be imported by its name."""
    found: dict[str, ModuleType] = {}
    for name in filter(None, dict.fromkeys(cell.module for cell in cells)):
        found[name] = ModuleType(name)
        if name not in sys.modules:  # a cell called numpy.py must not take NumPy's place
            _enter(name, found[name])
    return found


def _take_over(module: ModuleType, written: ModuleType) -> None:
    """Give a notebook the definitions of a module that it has written, imported or not."""
    for name, value in list(written.__dict__.items()):
        if getattr(value, "__module__", None) == written.__name__:
            module.__dict__.setdefault(name, value)


def _importer(path: Path, home: Home, options: Options, tell: Tell) -> Importer:
    return Importer((path.parent, home.root), options.python2, tell, options.change)


_in_front: list[str] = []


def _put_in_front(folders: list[str]) -> None:
    """The folders of a file, where those of the file before were."""
    for folder in _in_front:
        if folder in sys.path:
            sys.path.remove(folder)
    _in_front[:] = list(dict.fromkeys(folders))
    sys.path[:0] = _in_front


def _converted(
    module: ModuleType, cell: Cell, tree: ast.Module, tell: Tell
) -> tuple[Cell, ast.Module]:
    """A cell with its definitions converted, where only now it is seen to be Python 2.

    ``from layers import *`` may have brought what it lacks; when it has not, nothing else will.
    """
    if not missing_names(tree, module.__dict__):
        return cell, tree
    text, tree = modernise.parsed(cell.text, cell.place, True, tell)
    cell = replace(cell, text=text)
    _run_definitions(module.__dict__, cell, definitions(tree)[0], tell)
    return cell, tree


def _parsed(
    cells: tuple[Cell, ...],
    path: Path,
    old: bool,
    tell: Tell,
    known: MutableMapping[tuple[str, str], ast.Module],
) -> list[tuple[Cell, ast.Module]]:
    trees: list[tuple[Cell, ast.Module]] = []
    bound = set().union(*(_bound(cell.text) for cell in cells)) if len(cells) > 1 else set()
    for cell in cells:
        try:
            text, tree = modernise.parsed(cell.text, cell.place, old, tell, bound, known)
            trees.append((replace(cell, text=text), tree))
        except SyntaxError as error:
            if path.suffix == ".ipynb":
                what = f"line {error.lineno}: {error.msg}"
                tell(f"{NOT_READ} {cell.place}, which was left out: {what}")
            else:
                raise not_parsed(error, cell.place) from None
    return trees


def _bound(text: str) -> set[str]:
    try:
        return bound_names(ast.parse(text))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return set()


def _provide(sources: Mapping[str, str]) -> None:
    """Modules that the spec gives as text."""
    for name, text in sources.items():
        module = _package(name, [])
        _enter(name, module)
        exec(compile(text, f"provide: {name}", "exec", dont_inherit=True), module.__dict__)


def _enter(name: str, module: ModuleType) -> None:
    """Have it imported by this name, in whatever packages."""
    parts = name.split(".")
    for depth in range(1, len(parts)):
        _parent(".".join(parts[:depth]))
    sys.modules[name] = module
    if len(parts) > 1:
        setattr(sys.modules[".".join(parts[:-1])], parts[-1], module)


def _parent(name: str) -> None:
    """The package of such a module: the user's own where there is one, else it is made."""
    try:
        importlib.import_module(name)
    except (Exception, SystemExit):
        sys.modules.setdefault(name, _package(name, []))


def _package(name: str, path: list[str]) -> ModuleType:
    module = ModuleType(name)
    module.__path__ = path
    return module


def _module(path: Path, home: Home, tell: Tell) -> ModuleType:
    """The empty module of a file, in its package where it has one."""
    stem = path.stem if path.stem.isidentifier() else "submission"
    name = f"{home.package}.{stem}" if home.package else stem
    module = ModuleType(name)
    module.__file__ = str(path)
    if home.package:
        _import_package(home, tell)
        module.__package__ = home.package
    elif name in sys.modules:
        return module  # a file called numpy.py must not take NumPy's place
    sys.modules[name] = module
    return module


def _import_package(home: Home, tell: Tell) -> None:
    parts = home.package.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            tell(f"the package {name} was not run: {type(error).__name__} in its __init__.py")
            sys.modules[name] = _package(name, [str(home.root.joinpath(*parts[:depth]))])


def _run_cell(
    module: ModuleType, cell: Cell, tree: ast.Module, only_definitions: bool, tell: Tell
) -> None:
    namespace = module.__dict__
    if not only_definitions:
        try:
            exec(compile(tree, cell.place, "exec", dont_inherit=True), namespace)
            return
        except FileProblem:  # a helper module is Python 2, and there is no converter
            raise
        except (Exception, SystemExit) as error:
            line = _line_in(error, cell.place)
            where = f"{cell.place} line {line}" if line else cell.place
            reason = f"{type(error).__name__} at {where}: {_text(error)}"
            tell(f"{CUT_SHORT} failed ({reason}); only the definitions were taken")
    kept, left_out = definitions(tree)
    if only_definitions and left_out:
        some = "1 statement" if len(left_out) == 1 else f"{len(left_out)} statements"
        tell(f"only the definitions were run, without {some} at top level")
    _run_definitions(namespace, cell, kept, tell)


def _run_definitions(
    namespace: dict[str, object], cell: Cell, statements: Iterable[ast.stmt], tell: Tell
) -> None:
    """Run statements one by one, and tell which of them could not be."""
    lost: dict[str, list[int]] = {}
    for statement in statements:
        error = _run_definition(namespace, cell, statement)
        if error:
            lost.setdefault(error, []).append(statement.lineno)
    for error, lines in lost.items():
        shown = ", ".join(map(str, lines[:_LINES]))
        more = f" and {len(lines) - _LINES} more" if len(lines) > _LINES else ""
        many = len(lines) > 1
        tell(
            f"{cell.place} line{'s' * many} {shown}{more} "
            f"{'were' if many else 'was'} left out: {error}"
        )


def _run_definition(namespace: dict[str, object], cell: Cell, statement: ast.stmt) -> str:
    """Run one statement; the exception that it raised by name, if any."""
    code = compile(ast.Module([statement], type_ignores=[]), cell.place, "exec", dont_inherit=True)
    try:
        exec(code, namespace)
    except (Exception, SystemExit) as error:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:
                name = alias.asname or alias.name.partition(".")[0]
                if name.isidentifier():
                    namespace.setdefault(name, Absent(alias.name))
        return type(error).__name__
    return ""


def _line_in(error: BaseException, place: str) -> int:
    trace, line = error.__traceback__, 0
    while trace:
        if trace.tb_frame.f_code.co_filename == place:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _text(error: BaseException) -> str:
    try:
        return str(error)[:200]
    except Exception:
        return ""
