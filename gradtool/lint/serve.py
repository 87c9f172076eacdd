"""The worker of `gradtool lint`: that of `gradtool check`, and what must be seen from inside.

Before any of the submission's code runs it answers what the file says about itself (imports);
that answer can be trusted. Later ones can be forged like any number, and gain nothing by it.
"""

from __future__ import annotations

import ast
import heapq  # noqa: F401 - by `Counter.most_common`, which would import it in each worker
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from gradtool.check import frames, watched
from gradtool.check.cells import FileProblem, read_cells, tagged
from gradtool.check.diagnose_where import where
from gradtool.check.load import Known
from gradtool.check.nodes import nodes_of_file
from gradtool.check.worker import MAX_REQUEST, Responder
from gradtool.lint.begun import next_thread
from gradtool.lint.isolation import OURS
from gradtool.lint.isolation import frames as pipes
from gradtool.records import Struct

_MOST_NAMES = 200


def make_ready_with_random() -> None:
    """The same for files that are likely to need random numbers."""
    import numpy.random  # noqa: F401 - NumPy itself imports it, and `random`, at its first use

    make_ready()


def make_ready() -> None:
    """What comes before the entry, for all workers of a lane."""
    global _responder
    _hide_ours()
    _responder = Observed()


def keep(data: bytes) -> None:
    """Take a script that all workers of a lane may be asked to answer: a frame with its name."""
    script = frames.whole(data, MAX_REQUEST)
    _scripts[script.header["name"]] = script
    for one in script.header["requests"]:
        if one["header"]["op"] == "bind":  # compiled once for all of them
            Observed().answer(frames.Frame(one["header"], {}))


def serve(read_fd: int, write_fd: int) -> None:
    """The entry of a worker."""
    answer_all(read_fd, write_fd, _responder)


def answer_all(read_fd: int, write_fd: int, responder: Observed) -> None:
    """Answer requests until the other end closes; one reply for each."""
    process = os.getpid()
    while True:
        try:
            request = frames.whole(pipes.read_frame(read_fd, MAX_REQUEST), MAX_REQUEST)
        except pipes.FrameEnded:
            return
        replies = []
        for one in _requests(request):
            replies.append(frames.encode(*responder.answer(one)))
        if os.getpid() != process:  # the submission forked, and this is the child
            os._exit(0)
        pipes.write_parts(write_fd, replies)


def _requests(request: frames.Frame) -> Iterator[frames.Frame]:
    """The requests of scripts, until they take too long; any other request is by itself."""
    header = request.header
    if header["op"] not in ("batch", "kept"):
        yield request
        return
    end = time.monotonic() + header["seconds"]
    scripts = [_scripts[name] for name in header["names"]] if "names" in header else [request]
    first = True
    for script in scripts:
        for one in script.header["requests"]:
            if not first and time.monotonic() > end:
                yield frames.Frame({"op": "stop"}, {})
                return
            first = False
            arrays = {name: script.arrays[place] for name, place in one["arrays"].items()}
            yield frames.Frame(one["header"], arrays)


def _hide_ours() -> None:
    """An import of what is ours finds nothing in a submission, whatever this process has loaded."""
    ours = _known[1] if len(sys.modules) == _known[0] else _ours()
    for name in ours:
        del sys.modules[name]


def note_ours() -> None:
    """Find the modules of ours once for all workers: to look at a name copies its page."""
    global _known
    _known = len(sys.modules), _ours()


def _ours() -> tuple[str, ...]:
    return tuple(name for name in sys.modules if name.partition(".")[0] in OURS)


class Observed(Responder):
    """The responder, with two more questions: what the file imports, and who calls whom."""

    def __init__(self) -> None:
        super().__init__()
        self._last = next(reversed(sys.modules))

    def answer(self, request: frames.Frame) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        match request.header["op"]:
            case "look":
                file, tag = Path(request.header["file"]), request.header["tag"]
                return look(file, self.known, tag), {}
            case "count":
                return self._count(request)
            case "steps":
                return watched.steps(self, request)
            case "where":
                return places(request.header), {}
            case "stop":
                return {"stopped": True}, {}
            case "load":
                _stand_beside(request.header["file"])
        return super().answer(request)

    def _count(self, request: frames.Frame) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """An evaluation with its calls counted, and the modules that were imported by then."""
        reply, arrays = watched.count(self, request, next_thread=next_thread)
        modules = sorted({name.partition(".")[0] for name in self._imported()})
        return {**reply, "modules": modules}, arrays

    def _imported(self) -> list[str]:
        """The modules that were imported since this responder was made."""
        # From the end, for to look at a name copies its page; all of them where the mark is gone.
        try:
            return list(takewhile(lambda name: name != self._last, reversed(sys.modules)))
        except RuntimeError:  # a thread of the submission imports at this moment
            return list(sys.modules)


def _stand_beside(file: str) -> None:
    """Go to the folder of a file, where whoever wrote it ran it: ``open("scale.txt")`` works."""
    with suppress(OSError):  # there is no such folder, which loading the file tells
        os.chdir(os.path.dirname(file))


class _Snippets(Struct, frozen=True):
    """Those of a binding."""

    setup: str | None
    forward: str | None
    backward: str | None
    grads: Mapping[str, str]


def places(header: Mapping[str, Any]) -> dict[str, Any]:
    """The line that assigns each of some gradients, its text and its cell, where it is known."""
    binding = _Snippets(**header["snippets"], grads=header["grads"])
    file, tag = Path(header["file"]), header["tag"]
    found = {name: where(file, binding, name, tag) for name in header["names"]}
    return {"where": {n: [w.line, w.source, w.place] for n, w in found.items() if w is not None}}


def look(path: Path, known: Known, tag: str | None) -> dict[str, Any]:
    """What a file says about itself: imported modules with lines and cells, and whether it has
    anything by which it could come to complex numbers, or to longer ones than float64.

    A file that cannot be parsed imports nothing; loading it will tell why.  Nor does what stands
    behind the cells with a `tag`, which is not run.  What was read and parsed is kept in `known`.
    """
    imports: dict[str, tuple[int, str]] = {}
    trees: list[ast.Module] = []
    try:
        cells, _ = known.cells[str(path)] = read_cells(path)
        cells = cells if tag is None else tagged(cells, tag, path)
    except FileProblem:
        return {"imports": {}}
    for cell in cells:
        try:
            tree = ast.parse(cell.text, cell.place)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        known.trees[cell.place, cell.text] = tree
        trees.append(tree)
        for node in nodes_of_file(tree):
            for name in imported(node) if isinstance(node, _IMPORTING) else ():
                imports.setdefault(name, (getattr(node, "lineno", 0), cell.place))
    told = {"imports": dict(list(imports.items())[:_MOST_NAMES])}
    return {**told, **watched.may_hide(trees)}


_IMPORTING = (ast.Import, ast.ImportFrom, ast.Call)


def imported(node: ast.AST) -> list[str]:
    """The modules that one node imports, as far as its text tells."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
        case ast.Call(
            func=ast.Name(id="__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(module)), *_],
        ):
            return [module]
    return []


_known: tuple[int, tuple[str, ...]] = 0, ()
note_ours()
_responder = Observed()
_scripts: dict[str, frames.Frame] = {}
