"""The judge's end of a worker: a child process with a time limit, asked one question at a time.

NumPy is not imported here, so that a worker can be started before the judge imports its own.
POSIX only: the pipes are passed by descriptor and the limit is kept by killing a process group.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from gradtool.check import frames

if TYPE_CHECKING:
    import numpy as np

# gradtool is importable in the worker only while its own modules are loaded: what the user's
# file can import must not depend on where gradtool lies.  Byte code is kept of its own modules, if
# the user lets Python keep any, and of nothing else.
_READY = """
import sys
root, extra, read_fd, write_fd = sys.argv[1:5]
sys.path[:0] = [root]
if extra: sys.path.append(extra)
from gradtool.check.worker import serve
sys.dont_write_bytecode = True
sys.path.remove(root) if root not in sys.path[1:] else sys.path.pop(0)
del sys.argv[1:]
"""
_SERVE = "serve(int(read_fd), int(write_fd))\n"
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_SLACK = 1 << 20
_CHUNK = 1 << 20  # bytes that a pipe may hold: fewer turns for large arrays
_GLANCE = 0.25  # seconds between looks at a silent process


class WorkerLost(Exception):
    """The worker gave no answer: it hung, ended, crashed, or wrote something else."""

    def __init__(self, kind: Literal["timeout", "exit", "crash", "garbled"], message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Asked(Protocol):
    """The judge's end of any worker: how it is started and confined is its own affair."""

    def ask(
        self,
        header: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray] | None = None,
        max_bytes: int = 0,
    ) -> frames.Frame:
        """The reply to a request; raises `WorkerLost` when there is none."""

    def close(self) -> None:
        """End it."""


@runtime_checkable
class Foresees(Protocol):
    """The judge's end of a worker that can be told what it will be asked."""

    def foresee(
        self, requests: Sequence[tuple[Mapping[str, Any], Mapping[str, np.ndarray], int]]
    ) -> None:
        """Header, arrays and most bytes of questions that follow, of which some may not.

        Asking one of them with the same arrays, not copies, gives what it would have given.
        """


@runtime_checkable
class Recalls(Protocol):
    """The judge's end of a worker that knows to what it led that others gave the same answers."""

    def recalled(self, about: object) -> object | None:
        """What was kept `about` the same, if this worker's answers to all that was asked then are
        there and are those, bit for bit."""

    def keep(self, about: object, found: object) -> None:
        """Keep what the answers led to, if there were no others than can be had in advance."""


class Process(Protocol):
    """What is asked of a worker's process, as of a `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...


def command(ask: int, answer: int, last: str = _SERVE) -> list[str]:
    """The command line of a worker; `last` is what it does when all is imported."""
    root = str(Path(__file__).resolve().parents[2])
    options = ["-I", *["-B"] * sys.dont_write_bytecode, "-W", "ignore", "-X", "utf8"]
    arguments = [root, _user_site(), str(ask), str(answer)]
    return [sys.executable, *options, "-c", _READY + last, *arguments]


def environment() -> dict[str, str]:
    """The variables of a worker."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | dict.fromkeys(_ONE_THREAD, "1")


def started(folder: Path, ask: int, answer: int) -> Process:
    """A worker's process, which leads a session of its own.  POSIX."""
    return subprocess.Popen(
        command(ask, answer),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder if folder.is_dir() else None,  # the worker says what is wrong
        env=environment(),
        pass_fds=(ask, answer),
        start_new_session=True,
    )


class Worker:
    """A running worker.  A context manager: leaving it kills the process and its children."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.seconds = seconds
        ask, self._write = os.pipe()
        self._read, answer = os.pipe()
        try:
            self._process = started(folder, ask, answer)
        finally:
            os.close(ask)
            os.close(answer)
        self._held = bytearray()  # was read and not asked for yet
        for descriptor in (self._write, self._read):
            os.set_blocking(descriptor, False)
            if sys.platform == "linux":
                with suppress(OSError):  # more than the system allows
                    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _CHUNK)

    @property
    def process_id(self) -> int:
        """Of the worker's own process."""
        return self._process.pid

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for descriptor in (self._read, self._write):
            with suppress(OSError):
                os.close(descriptor)
        self._read = self._write = -1

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
        deadline = time.monotonic() + self.seconds
        try:
            self._send(frames.encode({**header, "max_bytes": max_bytes}, arrays or {}), deadline)
            head = self._receive(frames.PREFIX.size, deadline)
            text, payload = frames.prefix(head, max_bytes + _SLACK)
            reply = frames.decode(self._receive(text, deadline), self._receive(payload, deadline))
        except frames.FrameError as error:
            raise WorkerLost("garbled", f"the worker did not answer properly: {error}") from None
        except BrokenPipeError:
            raise self._ended() from None
        return reply

    def _send(self, data: bytes, deadline: float) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._write, rest) :]
            except BlockingIOError:
                self._wait([], [self._write], deadline)

    def _receive(self, count: int, deadline: float) -> bytes:
        while len(self._held) < count:
            self._wait([self._read], [], deadline)
            with suppress(BlockingIOError):
                chunk = os.read(self._read, _CHUNK)  # header and arrays of a short reply at once
                if not chunk:
                    raise self._ended()
                self._held += chunk
        received = bytes(memoryview(self._held)[:count])
        del self._held[:count]
        return received

    def _wait(self, reading: list[int], writing: list[int], deadline: float) -> None:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise WorkerLost("timeout", f"no answer within {self.seconds:g} s")
            ready = select.select(reading, writing, [], min(left, _GLANCE))
            if ready[0] or ready[1]:
                return
            # A child that it left behind may hold the pipe open after its own end.
            if self._process.poll() is not None:
                raise self._ended()

    def _ended(self) -> WorkerLost:
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return WorkerLost("garbled", "it closed its connection to the judge")
        if code < 0:
            return WorkerLost("crash", f"the interpreter crashed ({_signal_name(-code)})")
        return WorkerLost("exit", f"it ended the process (exit code {code})")


def _user_site() -> str:
    """The user's own site-packages where this process uses them; isolated mode leaves them out."""
    import site

    return site.getusersitepackages() if site.ENABLE_USER_SITE else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
