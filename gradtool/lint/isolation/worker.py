"""The judge's handle on one worker: capped frames with deadlines, the end, what it printed."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from types import TracebackType

from gradtool.lint.isolation import frames, report
from gradtool.lint.isolation.status import Exit, LayerStatus

GRACE = 5.0
"""How much longer than its wall clock a job may take to be buried, before it counts as lost."""


class Worker:
    """A running job. Use it as a context manager: leaving it kills what still runs.

    Attributes:
        read_fd, write_fd: non-blocking pipes from and to the worker; prefer `receive`, `send`.
        kept: names of the data that it has from its lane.
    """

    def __init__(
        self,
        read_fd: int,
        write_fd: int,
        lifeline: socket.socket,
        wall_seconds: float,
        output_bytes: int,
        finish: Callable[[Exit], None],
        kept: frozenset[str] = frozenset(),
    ) -> None:
        """`finish` is called once, when the job has ended."""
        self.kept = kept
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._lifeline = lifeline
        self._last = time.monotonic() + wall_seconds + GRACE
        self._output_bytes = output_bytes
        self._finish = finish
        self._locked: report.Locked | None = None
        self._exit: Exit | None = None
        self._output = b""
        self._closed = False

    def send(self, payload: bytes, seconds: float) -> None:
        """Send one frame.

        Raises:
            FrameTimeout: the worker did not read it in time.
            FrameEnded: the worker is dead, or has closed its end.
        """
        frames.write_frame(self.write_fd, payload, self._until(seconds))

    def receive(self, most: int, seconds: float) -> bytes:
        """The next frame, of at most `most` bytes.

        Raises:
            FrameTimeout: it was not there in time.
            FrameTooLong: it announces more; nothing of it was read.
            FrameEnded: the worker is dead and nothing is left in the pipe, or has closed it.
        """
        return frames.read_frame(self.read_fd, most, self._until(seconds))

    def has_unread(self) -> bool:
        """Whether there is something to receive already."""
        poll = select.poll()
        poll.register(self.read_fd, select.POLLIN)
        return any(event & select.POLLIN for _, event in poll.poll(0))

    def kill(self) -> None:
        """Ask for the end of all that the job started; `wait` says when that is done."""
        if not self._closed and self._exit is None:
            try:
                self._lifeline.shutdown(socket.SHUT_WR)
            except OSError:  # the supervisor is gone already
                return

    def wait(self) -> Exit:
        """How the job ended; everything that it started is dead then.

        Lost is a job whose supervisor does not say so within its wall clock and a grace.
        """
        poll = select.poll()
        if self._exit is None:
            poll.register(self._lifeline, select.POLLIN)
        while self._exit is None:
            left = self._last - time.monotonic()
            if left > 0 and poll.poll(left * 1000):
                self._take_message()
            elif left <= 0:
                self._end(Exit("lost", "the supervisor did not report in time"))
        return self._exit

    def settle(self, seconds: float) -> bool:
        """Give the job some time to end by itself; whether it did."""
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._lifeline, select.POLLIN)
        while self._exit is None:
            left = max(0.0, deadline - time.monotonic())
            if not poll.poll(left * 1000):
                return False
            self._take_message()
        return True

    @property
    def pid(self) -> int:
        """Of the worker, or 0 before it has reported."""
        told = self._told()
        return 0 if told is None else told.pid

    @property
    def layers(self) -> tuple[LayerStatus, ...]:
        """What the worker saw in force before it called the entry; empty until it reported."""
        told = self._told()
        return () if told is None else told.layers

    def _told(self) -> report.Locked | None:
        if not self._closed:
            self.settle(0)
        return self._locked

    @property
    def output(self) -> bytes:
        """The beginning of what was written to standard output and error, after `wait`."""
        return self._output

    def close(self) -> None:
        """Kill what still runs and free the descriptors."""
        if not self._closed:
            if self._exit is None:
                self.kill()
                self.wait()
            self._closed = True
            for fd in (self.read_fd, self.write_fd):
                os.close(fd)
            self._lifeline.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _until(self, seconds: float) -> frames.Wait:
        deadline = time.monotonic() + seconds

        def wait(fd: int, writing: bool) -> None:
            poll = select.poll()
            poll.register(fd, select.POLLOUT if writing else select.POLLIN)
            if self._exit is None:
                # Not for what the worker says there before it begins, which can wait: a process
                # that is woken for it costs more than to read it.
                poll.register(self._lifeline, select.POLLHUP)
            while True:
                left = 0.0 if self._exit is not None else deadline - time.monotonic()
                ready = {found for found, _ in poll.poll(max(0.0, left) * 1000)}
                if fd in ready:
                    return
                if self._exit is not None:
                    raise frames.FrameEnded(self._exit.detail)
                if not ready:
                    raise frames.FrameTimeout(f"no answer within {seconds:g} s")
                self._take_message()
                if self._exit is not None:
                    poll.unregister(self._lifeline)

        return wait

    def _take_message(self) -> None:
        """Read one message of the supervisor or, before any untrusted code ran, the worker."""
        wait = frames.until(self._last)
        fd = self._lifeline.fileno()
        try:
            message = report.parse(frames.read_frame(fd, report.MOST_BYTES, wait))
            if isinstance(message, report.Locked):
                self._locked = message
                return
            self._output = frames.read_frame(fd, self._output_bytes, wait)
        except (frames.FrameError, ValueError):
            message = Exit("lost", "the supervisor ended without a report")
        self._end(message)

    def _end(self, ended: Exit) -> None:
        if self._locked is not None and self._locked.refused:
            missing = ", ".join(self._locked.refused)
            ended = Exit("refused", f"not run: nothing guards {missing} on this host")
        self._exit = ended
        self._finish(ended)
