"""Workers of `gradtool.check` that are forked, where most of a test would be a worker's start.

Python and NumPy take 0.2 s of processor time to come up, and thousands of tests need a worker.
Here a process comes up once, as a worker does, and every worker is a fork of it: 0.01 s.  What a
user's file finds is the same either way (`tests/check/test_forked.py`).
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
from pathlib import Path

from gradtool.check import process

_NURSERY = Path(__file__).with_name("nursery.py")
_BORN = f"""
nursery = {{}}
with open({str(_NURSERY)!r}) as file: exec(file.read(), nursery)
ask, answer = nursery["born"](int(read_fd))
serve(ask, answer)
"""


class Forked:
    """The process of a forked worker."""

    def __init__(self, status: int) -> None:
        self._status = status
        self.pid = int(os.read(status, 8))
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None and select.select([self._status], [], [], 0)[0]:
            self._end()
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        if self._code is None and not select.select([self._status], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return self._end() if self._code is None else self._code

    def _end(self) -> int:
        self._code = int(os.read(self._status, 8))
        os.close(self._status)
        return self._code


class Nursery:
    """Forks workers.  A context manager."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                process.command(theirs.fileno(), -1, _BORN),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=process.environment(),
                pass_fds=(theirs.fileno(),),
            )

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        self._process.wait()

    def started(self, folder: Path, ask: int, answer: int) -> process.Process:
        """Takes the place of `gradtool.check.process.started`."""
        place = folder.resolve() if folder.is_dir() else Path.cwd()
        text = json.dumps([str(place), process.environment()]).encode()
        read, write = os.pipe()
        try:
            socket.send_fds(self._control, [text], [ask, answer, write])
        finally:
            os.close(write)
        return Forked(read)
