"""Functions that are already loaded, asked in this process: for a project's own tests.

There is nobody to distrust: the functions are those of the test that calls.
"""

from __future__ import annotations

import ast
import inspect
import random
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from gradtool.check import worker
from gradtool.check.cells import Cell
from gradtool.check.frames import Frame
from gradtool.check.inventory import Class, Function, Inventory, class_of, function_of, to_json
from gradtool.check.load import Loaded
from gradtool.check.widths import loaded_frameworks
from gradtool.check.worker import Responder


class Live:
    """A worker without a process; implements `gradtool.check.process.Asked`.

    Attributes:
        file: where the functions stand, as far as it is known.
        inventory: what they look like.
        names: the names under which snippets call them, in the order given.
        reloadable: whether importing the file in a process of its own gives functions of these
            names; never in a worker, nor for a script, which would be run once more.
    """

    def __init__(self, *objects: Callable[..., Any]) -> None:
        module = ModuleType("under_test")
        functions: list[Function] = []
        classes: list[Class] = []
        names: list[str] = []
        self.file = Path(_file(objects[-1]))
        for thing in objects:
            module.__dict__.update(getattr(inspect.getmodule(thing), "__dict__", {}))
        for thing in objects:
            name = _name(thing, names)
            found = described(thing, name)
            (classes if isinstance(found, Class) else functions).append(found)  # type: ignore[arg-type]
            names.append(name)
            setattr(module, name, thing)
        self.names = tuple(names)
        self.reloadable = not worker.SERVING and all(
            _is_importable(thing, name, str(self.file))
            for thing, name in zip(objects, names, strict=True)
        )
        self.inventory = Inventory(tuple(functions), tuple(classes))
        self._responder = Responder()
        self._responder.loaded = Loaded(module, _cells(objects), [], self.file.parent)

    def ask(
        self,
        header: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray] | None = None,
        max_bytes: int = 0,
    ) -> Frame:
        """The reply to a request; the state of the random generators is left as it was."""
        if header["op"] == "load":
            told = {"inventory": to_json(self.inventory), "names": list(self.names)}
            return Frame({**told, "frameworks": loaded_frameworks()}, {})
        before, before_numpy = random.getstate(), np.random.get_state()
        try:
            with np.errstate(all="ignore"):  # as in a worker, whose warnings nobody sees
                asked = Frame({**header, "max_bytes": max_bytes}, arrays or {})
                reply, sent = self._responder.answer(asked)
        finally:
            random.setstate(before)
            np.random.set_state(before_numpy)
        return Frame(reply, sent)

    def close(self) -> None:
        """Nothing to end."""


def described(thing: Callable[..., Any], name: str) -> Function | Class:
    """A function or class as an inventory has it; its signature alone where it has no source."""
    try:
        lines, first = inspect.getsourcelines(thing)
        tree = ast.parse(textwrap.dedent("".join(lines)))
        node = tree.body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        node, first = ast.Pass(), 1
    ast.increment_lineno(node, first - 1)
    place = _file(thing)
    if isinstance(node, ast.ClassDef):
        node.name = name
        return class_of(node, place)
    if isinstance(node, ast.FunctionDef):
        node.name = name
        return function_of(node, place, method=inspect.ismethod(thing))
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    known = [p for p in inspect.signature(thing).parameters.values() if p.kind in kinds]
    required = sum(p.default is p.empty for p in known)
    return Function(name, place, first, tuple(p.name for p in known), required, (), {}, ())


def _name(thing: Callable[..., Any], taken: list[str]) -> str:
    name = getattr(thing, "__name__", "")
    if not name.isidentifier() or name in taken:
        name = "forward" if not taken else "backward"
    return name


def _is_importable(thing: Callable[..., Any], name: str, file: str) -> bool:
    """Whether a module of that file has it under that name: no lambda, no function of a test."""
    plain = getattr(thing, "__qualname__", "") == getattr(thing, "__name__", "") == name
    return plain and _file(thing) == file and getattr(thing, "__module__", "") != "__main__"


def _file(thing: Callable[..., Any]) -> str:
    try:
        return inspect.getsourcefile(thing) or "<unknown>"
    except TypeError:
        return "<unknown>"


def _cells(objects: tuple[Callable[..., Any], ...]) -> tuple[tuple[Cell, ast.Module], ...]:
    cells = []
    for file in dict.fromkeys(map(_file, objects)):
        try:
            text = Path(file).read_text(encoding="utf-8")
            cells.append((Cell(file, text), ast.parse(text)))
        except (OSError, ValueError, SyntaxError):
            continue
    return tuple(cells)
