"""What the judge asks of the zygote, as plain data, and how it travels with descriptors."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradtool.lint.isolation import frames
from gradtool.lint.isolation.limits import Limits
from gradtool.records import Struct, asdict

MOST_BYTES = 1 << 20
MOST_DATA = 1 << 24
_START, _DATA = b"+", b"="
_THREE = struct.Struct("iii")
"""The descriptors of a worker: to read from the judge, to write to the judge, and the lifeline."""

_ROOM = socket.CMSG_LEN(_THREE.size)


class Setup(Struct, frozen=True):
    """How a zygote is prepared, once.

    Attributes:
        packages: top-level packages in which an entry may be; they are trusted.
        import_path: folders where these packages and the libraries are found.
        libraries: top-level packages that a submission may import, warmed before the fork.
        preload: modules of `packages` to import before the fork. An entry's own module always
            is; whatever it needs it must import there, for afterwards its files are closed.
        rehearse: "package.module:function" of `packages`, called once before the fork where `warm`,
            so that what they warm is warm in every worker.
        layers_off: names of layers not to use, for a host on which one misbehaves.
        warm: import before the fork (cheap per job), or in the worker (a fresh process per
            job, for systems on which a fork of a warm process is not safe).
    """

    packages: tuple[str, ...] = ("gradtool",)
    import_path: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ("numpy",)
    preload: tuple[str, ...] = ()
    rehearse: tuple[str, ...] = ()
    layers_off: tuple[str, ...] = ()
    warm: bool = True

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def from_bytes(data: bytes) -> Setup:
        """The inverse of `to_bytes`."""
        read: dict[str, Any] = json.loads(data)
        return Setup(
            packages=tuple(read["packages"]),
            import_path=tuple(read["import_path"]),
            libraries=tuple(read["libraries"]),
            preload=tuple(read["preload"]),
            rehearse=tuple(read["rehearse"]),
            layers_off=tuple(read["layers_off"]),
            warm=bool(read["warm"]),
        )


class Job(Struct, frozen=True):
    """What a worker is for; a lane forks one after the other for the same.

    Attributes:
        entry: "package.module:function", called with the descriptor to read from the judge
            and the one to write to it.
        before: likewise, called without arguments in the process that is forked, or in the worker
            before the entry: what it does must be of use to every worker of the lane. "" for none.
        keep: likewise, called there with each of the data that the judge sends to the lane.
        readable: files and folders of the submission.
        limits: of this job.
        require_sandbox: do not call the entry unless every guard has an active layer.
    """

    entry: str
    readable: tuple[Path, ...]
    limits: Limits
    require_sandbox: bool
    before: str = ""
    keep: str = ""

    def to_bytes(self) -> bytes:
        """As JSON."""
        data = {
            "entry": self.entry,
            # A name on disk need not be text in any encoding.
            "readable": [os.fsencode(path).hex() for path in self.readable],
            "limits": asdict(self.limits),
            "require_sandbox": self.require_sandbox,
            "before": self.before,
            "keep": self.keep,
        }
        return json.dumps(data).encode()

    @staticmethod
    def from_bytes(data: bytes) -> Job:
        """The inverse of `to_bytes`."""
        read: dict[str, Any] = json.loads(data)
        names = (os.fsdecode(bytes.fromhex(name)) for name in read["readable"])
        return Job(
            entry=str(read["entry"]),
            readable=tuple(Path(name) for name in names),
            limits=Limits(**read["limits"]),
            require_sandbox=bool(read["require_sandbox"]),
            before=str(read["before"]),
            keep=str(read["keep"]),
        )


def send_job(lane: socket.socket, job: Job) -> None:
    """Say what all workers of a lane are for, before the first of them.

    Raises:
        OSError: the supervisor is gone.
    """
    data = job.to_bytes()
    lane.sendall(frames.header(len(data)) + data)


def send_data(lane: socket.socket, data: bytes) -> None:
    """Send what every later worker of the lane is to have.

    Raises:
        OSError: the supervisor is gone.
    """
    lane.sendall(_DATA + frames.header(len(data)))
    lane.sendall(data)


def send_start(lane: socket.socket, descriptors: tuple[int, int, int]) -> None:
    """Ask for one more worker, with the descriptors that belong to it.

    Raises:
        OSError: the supervisor is gone.
    """
    socket.send_fds(lane, [_START], list(descriptors))


def send_lane(control: socket.socket, lane: socket.socket) -> None:
    """Ask for one more supervisor, which will take its jobs from this lane.

    Raises:
        OSError: the zygote is gone.
    """
    socket.send_fds(control, [b"+"], [lane.fileno()])


def receive_lane(control: socket.socket) -> socket.socket | None:
    """The next lane, or None when the judge is gone."""
    try:
        sign, descriptors, _, _ = socket.recv_fds(control, 1, 1)
    except ConnectionError:
        return None
    return socket.socket(fileno=descriptors[0]) if sign else None


def receive_job(lane: socket.socket) -> Job | None:
    """What the workers of a lane are for, or None when the judge is gone."""
    try:
        return Job.from_bytes(frames.read_frame(lane.fileno(), MOST_BYTES))
    except (frames.FrameError, ConnectionError):
        return None


def receive_start(
    lane: socket.socket, keep: Callable[[bytes], object]
) -> tuple[int, int, int] | None:
    """The descriptors of the next worker, or None when the judge is gone; data come before."""
    while True:
        try:
            # Not by `socket.recv_fds`, whose imports and loops are copied pages at each fork.
            sign, told, _, _ = lane.recvmsg(1, _ROOM)
            if sign == _DATA:
                keep(frames.read_frame(lane.fileno(), MOST_DATA))
                continue
        except (frames.FrameError, ConnectionError):
            return None
        if not sign:
            return None
        (_, _, descriptors), *_ = told
        source, sink, lifeline = _THREE.unpack(descriptors)
        return source, sink, lifeline
