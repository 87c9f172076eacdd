"""What is seen of a submission's own functions while they run: their calls, and steps."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any, Protocol

import numpy as np

from gradtool.check.complex_steps import Stepped, Told, may_step, told
from gradtool.check.frames import Frame
from gradtool.check.load import Loaded
from gradtool.check.longer import has_longer
from gradtool.check.nodes import nodes_of_file, telling

_FORWARD = "check: forward"
_MOST_NAMES = 200

Answer = tuple[dict[str, Any], dict[str, np.ndarray]]


class Watches(Protocol):
    """A responder, as far as it is needed here."""

    loaded: Loaded | None
    observed: AbstractContextManager[object]

    def answer(self, request: Frame) -> Answer: ...


def may_hide(loaded: Loaded) -> dict[str, bool]:
    """Whether a text has anything by which it could come to complex numbers, or to longer ones
    than float64: differences of these may be right to the last digit.
    """
    names = [telling(nodes_of_file(tree)) for _, tree in loaded.cells]
    return {"steps": any(map(may_step, names)), "longer": any(map(has_longer, names))}


def count(responder: Watches, request: Frame) -> Answer:
    """An evaluation with every call of the submission's own functions counted."""
    if responder.loaded is None:
        return {}, {}
    watch = Watch(responder.loaded, Stepped(request.arrays))
    before, responder.observed = responder.observed, watch
    try:
        reply, arrays = responder.answer(Frame({**request.header, "op": "run"}, request.arrays))
    finally:
        responder.observed = before
    reply |= {
        "calls": watch.calls.most_common(_MOST_NAMES),
        "top": watch.top.most_common(_MOST_NAMES),
        "undisturbed": watch.undisturbed,
        "threads": watch.threads,
        "step": watch.stepped.size,
        "longer": watch.stepped.longer,
        "moved": watch.stepped.entry_by_entry,
    }
    return reply, arrays


def steps(responder: Watches, request: Frame) -> Answer:
    """An evaluation with numbers that tell what is added to them; its results do not count."""
    header = {**request.header, "op": "run", "max_bytes": 1 << 20}
    responder.answer(Frame(header, told(request.arrays)))
    return {"step": Told.step()}, {}


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
