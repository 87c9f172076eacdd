"""What is seen of a submission's own functions while they run: their calls, and steps."""

from __future__ import annotations

import ast
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from functools import lru_cache
from types import FrameType
from typing import Any, Protocol

import numpy as np

from gradtool.check.complex_steps import Stepped, may_step
from gradtool.check.frames import Frame
from gradtool.check.handed import Line, handing
from gradtool.check.load import Loaded
from gradtool.check.longer import has_longer
from gradtool.check.nodes import nodes_of_file, telling
from gradtool.check.told import Enough, Told, may_move, may_subtract, told

_FORWARD = "check: forward"
_MOST_NAMES = 200
_LOOKING = 0.5  # seconds
_REPEATED = 3  # calls
_OPERATIONS = 2  # of one unit of a layer's work: a product and a sum

TraceFunction = Callable[[FrameType, str, Any], Any]
Answer = tuple[dict[str, Any], dict[str, np.ndarray]]


class Watches(Protocol):
    """A responder, as far as it is needed here."""

    loaded: Loaded | None
    observed: AbstractContextManager[object]
    called: frozenset[Line] | None

    def answer(self, request: Frame) -> Answer: ...


def may_hide(trees: Iterable[ast.Module]) -> dict[str, bool]:
    """Whether a text has anything by which it could come to complex numbers, or to longer ones
    than float64: differences of these may be right to the last digit.  And whether it could move
    one number after the other, and subtract what that gives.
    """
    found = [_hides(tree) for tree in trees]
    return {name: any(one[k] for one in found) for k, name in enumerate(_MEANS)}


_MEANS = ("steps", "longer", "moves", "subtracts")


@lru_cache(maxsize=256)  # asked before the file is loaded, and whenever its calls are counted
def _hides(tree: ast.Module) -> tuple[bool, ...]:
    nodes = nodes_of_file(tree)
    names, kinds = telling(nodes), frozenset(map(type, nodes))
    means = may_step(names), has_longer(names)
    return *means, may_move(kinds, names), may_subtract(kinds, names)


def count(
    responder: Watches, request: Frame, *, next_thread: Callable[[], int] | None = None
) -> Answer:
    """An evaluation with every call of the submission's own functions counted.

    With `next_thread`, the number that the next thread gets, threads are counted that nothing else
    tells of, and whoever might turn the watch off is heard, by a hook that stays in this process.
    """
    if responder.loaded is None:
        return {}, {}
    hides = may_hide(tree for _, tree in responder.loaded.cells)
    everywhere = hides["steps"]
    watch = Watch(responder.loaded, Stepped(request.arrays), everywhere)
    counting = next_thread if everywhere else None
    if counting is not None:
        watch.undisturbed = _listen()
    first = counting() if counting else 0
    before, responder.observed = responder.observed, watch
    try:
        reply, arrays = responder.answer(Frame({**request.header, "op": "run"}, request.arrays))
    finally:
        responder.observed = before
    responder.called = frozenset(watch.lines)
    if counting is not None:
        watch.threads += max(0, counting() - first - 1 - watch.seen)
    reply |= {
        "calls": watch.calls.most_common(_MOST_NAMES),
        "top": watch.top.most_common(_MOST_NAMES),
        "undisturbed": watch.undisturbed,
        "threads": watch.threads,
        "step": watch.stepped.size,
        "longer": watch.stepped.longer,
        "moved": watch.stepped.entry_by_entry,
        "may_step": hides["steps"],
        "may_be_longer": hides["longer"],
        "may_move": hides["subtracts"] and (hides["moves"] or watch.repeats),
    }
    return reply, arrays


def steps(responder: Watches, request: Frame) -> Answer:
    """An evaluation whose results do not count, with numbers that tell what is added to them; and
    one with a look at each value, for code that makes other numbers of these, or cannot use them.
    """
    if responder.loaded is None:
        return {}, {}
    header = {**request.header, "op": "run", "max_bytes": 1 << 20}
    before = responder.observed
    try:
        arrays, entries = told(request.arrays)
        responder.observed = work = Work()
        reply, _ = responder.answer(Frame(header, arrays))
        # A forward pass may compute more than an output: differences of itself.
        forward = min(work.forward, _OPERATIONS * header["work"])
        step, moved, around = Told.step(), Told.moved(entries, forward), Told.around(entries)
        # Who makes plain numbers of these, refuses them, or has little to do with them.
        hardly = Told.time - work.forward < min(entries, default=0)
        found = step or moved or around
        if not found and (Told.left or "error" in reply or hardly):
            responder.observed = lines = Lines(responder.loaded, Stepped(request.arrays))
            with handing(responder.loaded, lines.look_at, responder.called) as lines.handed:
                responder.answer(Frame(header, request.arrays))
            step, moved = lines.stepped.size, lines.stepped.entry_by_entry
    finally:
        responder.observed = before
    return {"step": step, "moved": moved, "around": around}, {}


class Work:
    """As a context manager it notes how much is computed in the forward pass, the first one."""

    forward = 0

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.forward = self.forward or Told.time


class Lines:
    """Looks at the values of a submission's functions before each line, and at those that it is
    handed, for some time; then it ends the code.  A context manager.
    """

    def __init__(self, loaded: Loaded, stepped: Stepped) -> None:
        self.stepped = stepped
        self.handed: frozenset[int] = frozenset()  # the codes whose values it gets without that
        self._places = {cell.place for cell, _ in loaded.cells}
        self._end = time.monotonic() + _LOOKING

    def __enter__(self) -> None:
        sys.settrace(self._called)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _called(self, frame: FrameType, event: str, _: object) -> TraceFunction | None:
        code = frame.f_code
        seen = _exactly(code.co_filename) in self._places and id(code) not in self.handed
        return self._seen if seen else None

    def _seen(self, frame: FrameType, event: str, _: object) -> TraceFunction:
        if event == "line":
            self.stepped.look(frame)
            self._spend()
        return self._seen

    def look_at(self, value: object, frame: FrameType) -> None:
        """Look at a value that a line computes on its way."""
        self.stepped.look_at(value, frame)
        self._spend()

    def _spend(self) -> None:
        if time.monotonic() > self._end:
            raise Enough


class Watch:
    """A profile function that counts calls of a submission's functions, and sees complex steps.

    As a context manager it is in force.

    Attributes:
        undisturbed: nothing has put another one in its place.
        threads: how many there were where it is not in force, and the one where it is.
        seen: further ones in which it was.
        calls: by place and line.
        lines: where those begin that were called.
        top: those that the forward snippet calls itself.
        stepped: what was seen of steps.
    """

    def __init__(self, loaded: Loaded, stepped: Stepped, everywhere: bool = True) -> None:
        """`everywhere`: values are looked at in whatever runs, for a text that makes code may say
        of it that it stands in any file; else in what runs of the submission's files.
        """
        self.everywhere = everywhere
        self.stepped = stepped
        self.places = {cell.place for cell, _ in loaded.cells}
        self.calls: Counter[str] = Counter()
        self.top: Counter[str] = Counter()
        self.lines: set[Line] = set()
        self.undisturbed = True
        self.threads = 0
        self.seen = 0
        self._main = threading.get_ident()
        self._thread = threading.local()
        self._fresh = 0  # threads that have set it, and not told of anything yet

    def __enter__(self) -> None:
        self.threads = max(self.threads, len(sys._current_frames()))
        threading.setprofile(self)
        sys.setprofile(self)
        _in_force[:] = [self]

    def __exit__(self, *_: object) -> None:
        _in_force.clear()
        self.undisturbed = self.undisturbed and sys.getprofile() is self
        sys.setprofile(None)
        threading.setprofile(None)

    @property
    def repeats(self) -> bool:
        """Whether a function was called again and again, by `map`, say, or by itself."""
        return max(self.calls.values(), default=0) >= _REPEATED

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if self._fresh:
            self._see()
        if event not in ("c_call", "call", "return"):
            return
        code = frame.f_code
        its_own = _exactly(code.co_filename) in self.places
        if its_own or self.everywhere:
            self.stepped.look(frame, its_own)  # of a call, at its arguments
        if event == "call" and its_own:
            place = _exactly(code.co_filename)
            name = f"{place}:{code.co_firstlineno}:{_exactly(code.co_name)}"
            self.calls[name] += 1
            self.lines.add((place, code.co_firstlineno))
            caller = frame.f_back
            if caller is not None and _exactly(caller.f_code.co_filename) == _FORWARD:
                self.top[name] += 1

    def _see(self) -> None:
        in_force: object = sys.getprofile()  # not so where it is called by hand
        if in_force is self and getattr(self._thread, "fresh", False):
            self._thread.fresh = False
            self._fresh -= 1
            self.seen += 1

    def hear(self) -> None:
        """Told by the interpreter that a thread sets its profiler.

        The first time in a new thread it is `threading` that sets this one; a thread by other means
        has none.
        """
        if threading.get_ident() == self._main or hasattr(self._thread, "fresh"):
            self.undisturbed = False
        else:
            self._thread.fresh = True
            self._fresh += 1


def _exactly(text: str) -> str:
    """The text itself where it is one of a subclass, whose methods may be the submission's."""
    return text if type(text) is str else str.__str__(text)


_in_force: list[Watch] = []
_listening: list[str] = []
_heard: list[str] = []
_ASKED = "gradtool.listening"


def _listen() -> bool:
    """Let watches hear what could end them, by whatever means; for as long as the process lives.

    Whether they do: a hook of the submission's own can refuse another one, without a word.
    """
    _heard.clear()
    with suppress(Exception):  # and refuse what is asked here
        if not _listening:
            sys.addaudithook(_hear)
        sys.audit(_ASKED)
    _listening[:] = _heard
    return bool(_heard)


def _hear(event: str, _: object) -> None:
    if _in_force and event == "sys.setprofile":
        _in_force[0].hear()
    elif event == _ASKED:
        _heard[:] = [event]
