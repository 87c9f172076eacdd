"""What the judge is told of a worker that it lost stays what it was."""

from __future__ import annotations

from typing import cast

import pytest

from gradtool.check.process import WorkerLost
from gradtool.lint.isolation import frames as pipes
from gradtool.lint.isolation.status import Exit
from gradtool.lint.isolation.worker import Worker
from gradtool.lint.transport import Boxed, Clock


class Late:
    """A worker whose answer comes when nobody waits for it any more."""

    kept: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.unread = False

    def has_unread(self) -> bool:
        return self.unread

    def send(self, data: bytes, seconds: float) -> None:
        pass

    def receive(self, most: int, seconds: float) -> bytes:
        self.unread = True
        raise pipes.FrameTimeout

    def kill(self) -> None:
        pass

    def wait(self) -> Exit:
        return Exit("killed", "stopped by the judge")

    def close(self) -> None:
        pass


def test_an_answer_that_is_late_is_no_forgery() -> None:
    boxed = Boxed(cast(Worker, Late()), lambda: Clock(0.5))
    for _ in range(2):
        with pytest.raises(WorkerLost, match=r"^no answer within 0\.5 s$"):
            boxed.ask({"op": "run"})
        assert boxed.lost == "timeout"
