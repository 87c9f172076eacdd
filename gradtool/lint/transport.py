"""The judge's questions to a worker behind the layers; the worker's answers as checked frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from gradtool.check import frames
from gradtool.check.process import WorkerLost
from gradtool.lint.isolation import frames as pipes
from gradtool.lint.isolation.status import Exit
from gradtool.lint.isolation.worker import Worker

_SLACK = 1 << 20
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
        lost: why the last question had no answer, None while there are answers.
    """

    def __init__(self, worker: Worker, clock: Callable[[], Clock]) -> None:
        """`clock` gives the clock of the question that is asked now."""
        self._worker = worker
        self._clock = clock
        self._closed = False
        self.ended: Exit | None = None
        self.lost: Literal["timeout", "exit", "crash", "garbled"] | None = None

    def ask(
        self,
        header: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray] | None = None,
        max_bytes: int = 0,
    ) -> frames.Frame:
        """The reply to a request, with at most `max_bytes` of arrays.

        Raises:
            WorkerLost: there is none; the worker is of no further use.
        """
        data = frames.encode({**header, "max_bytes": max_bytes}, arrays or {})
        most = max_bytes + _SLACK
        clock = self._clock()
        try:
            self._worker.send(data, max(0.0, clock.left))
            reply = self._worker.receive(frames.PREFIX.size + frames.MAX_HEADER + most, clock.left)
            return frames.whole(reply, most)
        except pipes.FrameTimeout:
            self._end(at_once=True)
            raise self._lost("timeout", f"no answer within {clock.seconds:g} s") from None
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
        self.lost = kind
        return WorkerLost(kind, message)
