"""The judge's questions to a worker behind the layers; the worker's answers as checked frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import numpy as np

from gradtool.check import frames
from gradtool.check.process import WorkerLost
from gradtool.lint.isolation import frames as pipes
from gradtool.lint.isolation.status import Exit
from gradtool.lint.isolation.worker import Worker

T = TypeVar("T")

_SLACK = 1 << 20
_LITTLE = 1 << 16  # bytes of the header of one answer
_AHEAD = 0.1  # of the time of a question, for a script; slow code is asked one by one
STOPPED = frames.encode({"stopped": True}, {})
"""After the last answer to a script that took too long, in place of the other answers."""

_ENOUGH = 0.3  # of that: then no further question of a script is begun
_LAST_WORDS = 0.5  # seconds for the system to say how a worker ended that closed its pipe


class Clock:
    """The time that one question of one submission has, over all its workers."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return self._end - time.monotonic()


class Boxed:
    """A worker in a sandbox, as a `gradtool.check.process.Asked`.

    Attributes:
        ended: how it ended, once it has.
    """

    def __init__(self, worker: Worker, clock: Callable[[], Clock]) -> None:
        """`clock` gives the clock of the question that is asked now."""
        self._worker = worker
        self._clock = clock
        self._closed = False
        self._sent = b""  # a request that was sent before it is asked
        self._loss: WorkerLost | None = None
        self.ended: Exit | None = None

    @property
    def lost(self) -> Literal["timeout", "exit", "crash", "garbled"] | None:
        """Why it was lost, None while there are answers."""
        return self._loss.kind if self._loss else None

    @property
    def kept(self) -> frozenset[str]:
        """The names of the scripts that it has already."""
        return self._worker.kept

    def ask(
        self,
        header: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray] | None = None,
        max_bytes: int = 0,
        following: Mapping[str, Any] | None = None,
    ) -> frames.Frame:
        """The reply to a request, with at most `max_bytes` of arrays.

        `following` is what will be asked next, without arrays: the worker goes on with it.

        Raises:
            WorkerLost: there is none; the worker is of no further use.
        """
        data = frames.encode({**header, "max_bytes": max_bytes}, arrays or {})
        ahead = frames.encode({**following, "max_bytes": 0}, {}) if following else b""
        clock = self._clock()
        reply = self._exchange(data, max_bytes, clock.left, clock.seconds, ahead)
        return self.checked(lambda most: frames.whole(reply, most), max_bytes)

    def ask_ahead(
        self, encoded: Callable[[float], bytes], count: int, max_bytes: int
    ) -> tuple[bytes, ...]:
        """The replies to the requests of a script, unread; there may be fewer, but for the first.

        Args:
            encoded: the script, in whose seconds no further request is begun.
            count: how many requests it has.

        Raises:
            WorkerLost: there is none.
        """
        clock = self._clock()
        seconds = min(clock.seconds * _AHEAD, clock.left)
        data = encoded(seconds * _ENOUGH)
        reply = self._exchange(data, max_bytes + count * _LITTLE, seconds, seconds)

        def parts(_: int) -> tuple[bytes, ...]:
            found = frames.several(reply)
            stopped = found[-1:] == (STOPPED,)
            answers = found[:-1] if stopped else found
            if len(answers) > count or (len(answers) < count and not stopped):
                raise frames.FrameError(f"{len(answers)} answers to {count} questions")
            return answers

        return self.checked(parts, max_bytes)

    def checked(self, read: Callable[[int], T], max_bytes: int) -> T:
        """What `read` makes of a reply with so many bytes of arrays.

        Raises:
            WorkerLost: it raised `FrameError`: the worker does not keep to the format.
        """
        try:
            return read(max_bytes + _SLACK)
        except frames.FrameError as error:
            self._end(at_once=True)
            message = f"the worker did not answer properly: {error}"
            raise self._lost("garbled", message) from None

    def _exchange(
        self, data: bytes, max_bytes: int, left: float, seconds: float, ahead: bytes = b""
    ) -> bytes:
        if self._loss is not None:
            # What comes after it says nothing: an answer that is late was asked for.
            raise WorkerLost(self._loss.kind, str(self._loss))
        most = frames.PREFIX.size + frames.MAX_HEADER + max_bytes + _SLACK
        try:
            if data != self._sent:
                assert not self._sent, "something else was to follow"
                if self._worker.has_unread():
                    raise frames.FrameError("it wrote what nobody had asked for")
                self._worker.send(data, max(0.0, left))
            if ahead:
                self._worker.send(ahead, max(0.0, left))
            self._sent = ahead
            return self._worker.receive(most, left)
        except pipes.FrameTimeout:
            self._end(at_once=True)
            raise self._lost("timeout", f"no answer within {seconds:g} s") from None
        except (pipes.FrameTooLong, frames.FrameError) as error:
            self._end(at_once=True)
            message = f"the worker did not answer properly: {error}"
            raise self._lost("garbled", message) from None
        except pipes.FrameEnded:
            self._end(at_once=False)
            raise self._explained() from None

    def close(self) -> None:
        """End it, and everything that it started."""
        if not self._closed:
            self._closed = True
            self._end(at_once=True)
            self._worker.close()

    def _end(self, at_once: bool) -> None:
        if self.ended is None:
            if not at_once:
                self._worker.settle(_LAST_WORDS)
            self._worker.kill()
            self.ended = self._worker.wait()

    def _explained(self) -> WorkerLost:
        assert self.ended is not None
        match self.ended.kind:
            case "timeout" | "cpu":
                return self._lost("timeout", self.ended.detail)
            case "exited":
                return self._lost("exit", f"it ended the process (exit code {self.ended.code})")
            case "killed":
                return self._lost("garbled", "it closed its connection to the judge")
            case "memory":
                return self._lost("crash", f"it {self.ended.detail}")
        return self._lost("crash", f"the interpreter {self.ended.detail}")

    def _lost(
        self, kind: Literal["timeout", "exit", "crash", "garbled"], message: str
    ) -> WorkerLost:
        self._loss = self._loss or WorkerLost(kind, message)
        return self._loss
