"""Ask in advance what will be asked: a class is asked the same questions in the same order.

Talking costs more than the arithmetic of small layers. What the judge asked of a right submission
is kept as a script, and sent to later ones in one piece: behind their binding, where one like it
is known, else once they are asked the first question of the script. They run it as if they had
been asked one by one, and the judge finds each answer there when it asks. What it does not ask is
dropped, what is not there is asked for; where the worker is lost on the way, nothing of it counts,
and the question is put again, one by one.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import Any

import numpy as np

from gradtool.check import frames
from gradtool.check.process import WorkerLost
from gradtool.lint.transport import Boxed
from gradtool.records import Struct, field

Header = Mapping[str, Any]
Arrays = Mapping[str, np.ndarray]

_TOLD = ("op", "seed", "slot", "watch", "forward_only")
Answers = tuple[str, tuple[bytes, ...]]
"""The name of a script, and what came to those of its questions that a verdict depends on."""

_BESIDE = ("count", "steps")  # by what means a file computes is no matter of its verdict
_MOST_RESULTS = 48
_EVALUATIONS = frozenset({"run", "start", "finish", "live", "count", "steps"})
_MOST_FRAMES = 8 << 20  # bytes of answers that are kept as they came
_MOST_SCRIPTS = 64
_MOST_LOOKS = 40  # questions to one that is not right
_FEWEST = 2  # questions that are worth a script
_MOST_SENT = 1 << 22  # bytes of the arrays of a script
_MOST_KEPT = 1 << 19  # bytes of one that is kept as it is sent


class Request(Struct, frozen=True):
    """One question to a worker."""

    header: Header
    arrays: Arrays
    max_bytes: int

    @property
    def key(self) -> Hashable:
        """Equal for equal questions about the same arrays, which are not copies."""
        header = self.header
        told = tuple([header[name] for name in _TOLD]), *header["scalars"].items()
        for name in ("calls", "turned"):  # of few questions
            told = *told, *header.get(name, ())
        return told, tuple([(name, id(a)) for name, a in self.arrays.items()]), self.max_bytes


class Script(Struct, frozen=True):
    """Questions, each with its key, and all of them as the worker gets them.

    Attributes:
        requests: keep the arrays alive, whose identities are in the keys.
        right: it is that of a submission that was right.
        listed: the headers, each with where its arrays are in `arrays`.
        name: of no other script; "" for one that is not kept by a lane.
    """

    requests: tuple[Request, ...]
    right: bool
    keys: tuple[Hashable, ...]
    listed: tuple[Header, ...]
    arrays: Arrays
    max_bytes: int
    name: str = ""


def script_of(requests: Sequence[Request], right: bool, name: str = "") -> Script:
    """The script of questions. An array that is in several of them is sent once."""
    arrays: dict[str, np.ndarray] = {}
    names: dict[int, str] = {}
    listed: list[Header] = []
    for request in requests:
        places = {}
        for key, array in request.arrays.items():
            place = names.setdefault(id(array), f"a{len(names)}")
            arrays[place] = array
            places[key] = place
        listed.append(_listed(request.header, places, request.max_bytes))
    return Script(
        tuple(requests),
        right,
        tuple(request.key for request in requests),
        tuple(listed),
        arrays,
        sum(request.max_bytes for request in requests),
        name,
    )


def _listed(header: Header, places: Mapping[str, str], max_bytes: int) -> Header:
    """A question of a script."""
    return {"header": {**header, "max_bytes": max_bytes}, "arrays": places}


class Asking(Struct, frozen=True):
    """A script as it is asked, behind a binding or one that the worker has already.

    Attributes:
        name: of the binding, and of no other one; "" for one that is not kept by a lane.
    """

    script: Script
    binding: Header | None = None
    name: str = ""
    _data: dict[float, bytes] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many questions there are."""
        return len(self.script.requests) + (self.binding is not None)

    def encoded(self, seconds: float, kept: frozenset[str] = frozenset()) -> bytes:
        """The frame that asks them, and begins none after so many seconds; in one word where
        the worker has them already."""
        names = [self.script.name] if self.binding is None else [self.name, self.script.name]
        if kept.issuperset(names):
            return frames.encode({"op": "kept", "names": names, "seconds": seconds}, {})
        data = self._data.get(seconds)
        if data is None:
            before = [] if self.binding is None else [_listed(self.binding, {}, 0)]
            listed = [*before, *self.script.listed]
            header = {"op": "batch", "requests": listed, "seconds": seconds}
            data = frames.encode(header, self.script.arrays)
            self._data.clear()  # nearly all have as much time
            if len(data) <= _MOST_KEPT:
                self._data[seconds] = data
        return data


class Foresight:
    """The scripts of a run, by what they begin with.  It may be used by several threads.

    Attributes:
        kept: the bindings and scripts of right submissions by name, as `gradtool.lint.serve.keep`
            takes them: whoever sends one to a lane need not send it to each of its workers.
    """

    def __init__(self) -> None:
        self.kept: Mapping[str, bytes] = {}
        self._number = 0
        self._known: dict[str, Asking] = {}
        self._begun: dict[Hashable, Script] = {}
        self._frames: dict[bytes, frames.Frame] = {}
        self._bytes = 0
        self._results: dict[str, list[tuple[tuple[bytes, ...], object, object]]] = {}
        self._lock = threading.Lock()

    def find(self, binding: Header) -> Asking | None:
        """What follows on a binding, or did; with that binding."""
        return self._known.get(_text(binding))

    def begun(self, first: Request) -> Asking | None:
        """What a right submission with another binding was asked that was asked this first."""
        script = self._begun.get(first.key)
        return None if script is None else Asking(script)

    def learn(self, binding: Header | None, requests: Sequence[Request], right: bool) -> None:
        """Remember what followed on a binding; None for one that nobody else has."""
        sent = {id(array): array.nbytes for one in requests for array in one.arrays.values()}
        if sum(sent.values()) > _MOST_SENT:
            return
        script = self._begun.get(requests[0].key) if right else None
        if script is None or script.keys != tuple(request.key for request in requests):
            script = script_of(requests, right, self._name() if right else "")
        asking = Asking(script, binding, self._name() if right else "")
        data = {}
        if right and script.name not in self.kept:
            data[script.name] = _kept(script.name, script.listed, script.arrays)
        if right and binding is not None:
            data[asking.name] = _kept(asking.name, [_listed(binding, {}, 0)], {})
        with self._lock:
            if len(self._known) >= _MOST_SCRIPTS:
                self._known, self._begun, self.kept = {}, {}, {}
            if binding is not None:
                self._known[_text(binding)] = asking
            if right:
                self._begun[requests[0].key] = script
                fitting = {name: one for name, one in data.items() if len(one) <= _MOST_KEPT}
                self.kept = {**self.kept, **fitting}  # others may be reading the last one

    def _name(self) -> str:
        with self._lock:
            self._number += 1
            return f"{self._number}"

    def recalled(self, answers: Answers, about: object) -> object | None:
        """What these answers led to, bit for bit the same, in the same matter."""
        script, replies = answers
        # Compared and not looked up by their hash, which takes several times as long.
        for known, matter, found in self._results.get(script, ()):
            if known == replies and matter == about:
                return found
        return None

    def keep(self, answers: Answers, about: object, found: object) -> None:
        """Remember what answers led to."""
        with self._lock:
            if sum(map(len, self._results.values())) >= _MOST_RESULTS:
                self._results = {}
            self._results.setdefault(answers[0], []).append((answers[1], about, found))

    def read(self, data: bytes, most: int) -> frames.Frame:
        """A frame; the same object for the same bytes, as long as it is kept.

        Raises:
            FrameError: it is none.
        """
        found = self._frames.get(data)
        if found is None:
            plain = frames.whole(data, most)
            if "seconds" in plain.header:  # of slow code: nobody else takes just as long
                return plain
            found = frames.Frame(plain.header, plain.arrays, data)
            with self._lock:
                self._bytes += 2 * len(data)
                if self._bytes > _MOST_FRAMES:
                    self._frames = {}
                    self._bytes = 2 * len(data)
                found = self._frames.setdefault(data, found)
        return found


class Foreseeing:
    """A worker that has been asked in advance, as a `gradtool.check.process.Asked`.

    Attributes:
        rushed: the worker was lost while it answered a script: nothing that it said counts.
        patient: nothing more is asked in advance.
    """

    def __init__(self, worker: Boxed, foresight: Foresight) -> None:
        self._worker = worker
        self._foresight = foresight
        self._first: Header = {}
        self._asked: list[Request] = []
        self._hits = 0
        self._ahead: list[tuple[Hashable, bytes]] = []
        self._next = 0
        self._told: dict[Hashable, tuple[bytes, Request]] = {}
        self._answers: Answers | None = None
        self._outside = self._recalled = False
        self._further = False  # than the first way to read the file
        self.rushed = False
        self.patient = False

    def ask(self, header: Header, arrays: Arrays | None = None, max_bytes: int = 0) -> frames.Frame:
        """The reply to a request, which may have come before.

        Raises:
            WorkerLost: there is none; the worker is of no further use.
        """
        request = Request(header, arrays or {}, max_bytes)
        if header["op"] == "bind":
            return self._bind(request)
        if header["op"] not in _EVALUATIONS:
            self._outside = True
            return self._worker.ask(header, request.arrays, max_bytes)
        self._asked.append(request)
        if len(self._asked) == 1 and not self._ahead:
            self._begin(request)
        key = request.key if self._next < len(self._ahead) else None
        for place in range(self._next, len(self._ahead)):
            if self._ahead[place][0] == key:
                self._next, self._hits = place + 1, self._hits + 1
                return self._read(self._ahead[place][1], max_bytes)
        self._outside = True
        if self._told:
            found = self._told.pop(request.key, None)
            if found is not None:
                reply = found[0]
                return self._worker.checked(lambda most: frames.whole(reply, most), max_bytes)
        return self._worker.ask(header, request.arrays, max_bytes)

    def foresee(self, requests: Sequence[tuple[Header, Arrays, int]]) -> None:
        """Ask all of these now, but for those that have been asked in advance already."""
        known = {key for key, _ in self._ahead[self._next :]}
        asked = [one for one in (Request(*parts) for parts in requests) if one.key not in known]
        self._told = {}
        if len(asked) < _FEWEST or self.patient:
            return
        script = script_of(asked, right=False)
        if sum(array.nbytes for array in script.arrays.values()) > _MOST_SENT:
            return
        try:
            replies = self._put(Asking(script))
        except WorkerLost:
            return  # whoever asks now is told that it is lost
        pairs = zip(asked, replies, strict=False)
        # The requests are kept, for the identities of their arrays are in the keys.
        self._told = {one.key: (reply, one) for one, reply in pairs}

    def recalled(self, about: object) -> object | None:
        """What others came to that gave the same answers to a whole script."""
        if self._answers is None:
            return None
        found = self._foresight.recalled(self._answers, about)
        self._recalled = found is not None
        return found

    def keep(self, about: object, found: object) -> None:
        """Keep what the answers to a script led to, if nothing else was asked."""
        if self._answers is not None and not self._outside:
            self._foresight.keep(self._answers, about, found)

    def learn(self, *, right: bool) -> None:
        """A judgement is complete: what was asked is what will be asked of others.

        A right submission is asked more than another one, which ends early or is looked into.
        """
        self._learn(right)
        self._first, self._further = {}, False

    def _learn(self, right: bool) -> None:
        if not self._first or self._recalled:
            return
        # Not what only some are asked, by what their text names, and then by itself.
        asked = [one for one in self._asked if one.header["op"] != "steps"]
        known = self._foresight.find(self._first)
        if not right:
            asked = list(takewhile(lambda one: bool(one.header["watch"]), asked))[:_MOST_LOOKS]
        if asked and (known is None or (right and not (known.script.right and self._hits))):
            self._foresight.learn(self._first, asked, right)

    def close(self) -> None:
        """End it."""
        self._worker.close()

    def _bind(self, request: Request) -> frames.Frame:
        if self._first and not self.patient:
            self._learn(right=False)  # another way to read the file was tried before
            self._further = True
        self._first = request.header
        self._asked, self._ahead, self._next, self._hits, self._told = [], [], 0, 0, {}
        self._answers, self._outside, self._recalled = None, False, False
        asking = None if self.patient else self._foresight.find(self._first)
        if asking is None:
            return self._worker.ask(request.header)
        first, *others = replies = self._put(asking)
        script = asking.script
        self._ahead = list(zip(script.keys, others, strict=False))
        if script.right and len(replies) == asking.count:
            pairs = zip(script.requests, others, strict=True)
            asked = [reply for one, reply in pairs if one.header["op"] not in _BESIDE]
            self._answers = script.name, (first, *asked)
        return self._read(first, 0)

    def _begin(self, first: Request) -> None:
        """Ask what others were asked behind this question, whose binding was another one."""
        # Of the ways to read a file, those after the first are glanced at.
        alone = bool(self._first) and not self._further and not self.patient
        asking = self._foresight.begun(first) if alone else None
        if asking is not None:
            self._ahead = list(zip(asking.script.keys, self._put(asking), strict=False))

    def _put(self, asking: Asking) -> tuple[bytes, ...]:
        """The replies to a script, unread; there may be fewer.

        Raises:
            WorkerLost: there is none, and nothing of it counts.
        """
        encoded = partial(asking.encoded, kept=self._worker.kept)
        try:
            return self._worker.ask_ahead(encoded, asking.count, asking.script.max_bytes)
        except WorkerLost:
            self.rushed = True
            raise

    def _read(self, data: bytes, max_bytes: int) -> frames.Frame:
        return self._worker.checked(lambda most: self._foresight.read(data, most), max_bytes)


def _kept(name: str, listed: Sequence[Header], arrays: Arrays) -> bytes:
    return frames.encode({"name": name, "requests": listed}, arrays)


def _text(header: Header) -> str:
    return repr(header)  # headers are made alike, key by key
