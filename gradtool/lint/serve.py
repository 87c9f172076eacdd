"""The worker of `gradtool lint`: that of `gradtool check`, and what must be seen from inside.

Before any of the submission's code runs it answers what the file says about itself (imports);
that answer can be trusted. Later ones can be forged like any number, and gain nothing by it.
"""

from __future__ import annotations

import ast
import heapq  # noqa: F401 - by `Counter.most_common`, which would import it in each worker
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from itertools import takewhile
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import numpy.random

from gradtool.check import frames
from gradtool.check.cells import FileProblem, read_cells
from gradtool.check.diagnose_where import where
from gradtool.check.load import Known, Loaded
from gradtool.check.longer import has_longer
from gradtool.check.nodes import nodes_of_file, telling
from gradtool.check.worker import MAX_REQUEST, Responder
from gradtool.lint.complex_steps import Stepped, Told, may_step, told
from gradtool.lint.isolation import OURS
from gradtool.lint.isolation import frames as pipes
from gradtool.records import Struct

_FORWARD = "check: forward"
_MOST_NAMES = 200


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
        pipes.write_frame(write_fd, b"".join(replies))


def _requests(request: frames.Frame) -> Iterator[frames.Frame]:
    """The requests of a script, until it takes too long; any other request is by itself."""
    if request.header["op"] not in ("batch", "kept"):
        yield request
        return
    end = time.monotonic() + request.header["seconds"]
    if request.header["op"] == "kept":
        request = _scripts[request.header["name"]]
    for number, one in enumerate(request.header["requests"]):
        if number and time.monotonic() > end:
            yield frames.Frame({"op": "stop"}, {})
            return
        arrays = {name: request.arrays[place] for name, place in one["arrays"].items()}
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
                return look(Path(request.header["file"]), self.known), {}
            case "count":
                return self._count(request)
            case "where":
                return places(request.header), {}
            case "steps":
                return self._steps(request)
            case "stop":
                return {"stopped": True}, {}
            case "load":
                _stand_beside(Path(request.header["file"]))
        return super().answer(request)

    def _count(self, request: frames.Frame) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """An evaluation with every call of the submission's own functions counted."""
        if self.loaded is None:
            return {}, {}
        watch = Watch(self.loaded, Stepped(request.arrays))
        self.observed = watch
        try:
            reply, arrays = super().answer(
                frames.Frame({**request.header, "op": "run"}, request.arrays)
            )
        finally:
            self.observed = nullcontext()
        reply |= {
            "calls": watch.calls.most_common(_MOST_NAMES),
            "top": watch.top.most_common(_MOST_NAMES),
            "undisturbed": watch.undisturbed,
            "threads": watch.threads,
            "step": watch.stepped.size,
            "longer": watch.stepped.longer,
            "moved": watch.stepped.entry_by_entry,
            "modules": sorted({name.partition(".")[0] for name in self._imported()}),
        }
        return reply, arrays

    def _imported(self) -> list[str]:
        """The modules that were imported since this responder was made."""
        # From the end, for to look at a name copies its page; all of them where the mark is gone.
        try:
            return list(takewhile(lambda name: name != self._last, reversed(sys.modules)))
        except RuntimeError:  # a thread of the submission imports at this moment
            return list(sys.modules)

    def _steps(self, request: frames.Frame) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """An evaluation with numbers that tell what is added to them; its results do not count."""
        header = {**request.header, "op": "run", "max_bytes": 1 << 20}
        super().answer(frames.Frame(header, told(request.arrays)))
        return {"step": Told.step()}, {}


def _stand_beside(file: Path) -> None:
    """Go to the folder of a file, where whoever wrote it ran it: ``open("scale.txt")`` works."""
    with suppress(OSError):  # there is no such folder, which loading the file tells
        os.chdir(file.parent)


class Watch:
    """A profile function that counts calls of a submission's functions, and sees complex steps.

    As a context manager it is in force.

    Attributes:
        undisturbed: nothing has put another one in its place.
        threads: how many there were; it is in force in those only that begin meanwhile.
        calls: by place and line.
        top: those that the forward snippet calls itself.
        stepped: what was seen of steps.
    """

    def __init__(self, loaded: Loaded, stepped: Stepped) -> None:
        self.stepped = stepped
        self.places = {cell.place for cell, _ in loaded.cells}
        self.calls: Counter[str] = Counter()
        self.top: Counter[str] = Counter()
        self.undisturbed = True
        self.threads = 0

    def __enter__(self) -> None:
        self.threads = max(self.threads, len(sys._current_frames()))
        threading.setprofile(self)
        sys.setprofile(self)

    def __exit__(self, *_: object) -> None:
        self.undisturbed = self.undisturbed and sys.getprofile() is self
        sys.setprofile(None)
        threading.setprofile(None)

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event in ("c_call", "return") and code.co_filename in self.places:
            self.stepped.look(frame)
        if event == "call" and code.co_filename in self.places:
            name = f"{code.co_filename}:{code.co_firstlineno}:{code.co_name}"
            self.calls[name] += 1
            self.stepped.look(frame)  # its arguments
            caller = frame.f_back
            if caller is not None and caller.f_code.co_filename == _FORWARD:
                self.top[name] += 1


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


def look(path: Path, known: Known) -> dict[str, Any]:
    """What a file says about itself: imported modules with lines, and whether it has anything by
    which it could come to complex numbers, or to longer ones than float64.

    A file that cannot be parsed imports nothing; loading it will tell why.  What was read and
    parsed is kept in `known`.
    """
    imports: dict[str, int] = {}
    steps = longer = False
    try:
        cells, _ = known.cells[str(path)] = read_cells(path)
    except FileProblem:
        return {"imports": {}}
    for cell in cells:
        try:
            tree = ast.parse(cell.text, cell.place)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        known.trees[cell.place, cell.text] = tree
        nodes = nodes_of_file(tree)
        for node in nodes:
            for name in imported(node) if isinstance(node, _IMPORTING) else ():
                imports.setdefault(name, getattr(node, "lineno", 0))
        names = telling(nodes)
        steps = steps or may_step(names)
        longer = longer or has_longer(names)
    told = {"imports": dict(list(imports.items())[:_MOST_NAMES])}
    return {**told, "steps": steps, "longer": longer}


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
