"""What the judge is told of a worker that it lost stays what it was."""

from __future__ import annotations

from typing import cast

import pytest

from gradtool.check import frames
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


class Prompt(Late):
    """A worker that answers what it is sent in that order, at once, with its own words."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []
        self.answers: list[bytes] = []

    def has_unread(self) -> bool:
        return bool(self.answers)

    def send(self, data: bytes, seconds: float) -> None:
        asked = frames.whole(data, 0).header["op"]
        self.log.append(f"sent {asked}")
        self.answers.append(frames.encode({"to": asked}, {}))

    def receive(self, most: int, seconds: float) -> bytes:
        self.log.append("received")
        return self.answers.pop(0)


def test_what_follows_is_sent_before_the_first_answer_is_read() -> None:
    worker = Prompt()
    boxed = Boxed(cast(Worker, worker), lambda: Clock(5))
    assert boxed.ask({"op": "look"}, following={"op": "load"}).header == {"to": "look"}
    assert boxed.ask({"op": "load"}).header == {"to": "load"}
    assert worker.log == ["sent look", "sent load", "received", "received"]
    assert boxed.ask({"op": "load"}).header == {"to": "load"}  # asked once more: sent once more
    assert worker.log[4:] == ["sent load", "received"]


def test_an_answer_that_nobody_asked_for_is_a_forgery() -> None:
    worker = Prompt()
    boxed = Boxed(cast(Worker, worker), lambda: Clock(5))
    boxed.ask({"op": "look"}, following={"op": "load"})
    boxed.ask({"op": "load"})
    worker.answers.append(frames.encode({"to": "run"}, {}))
    with pytest.raises(WorkerLost, match="nobody had asked for"):
        boxed.ask({"op": "run"})
