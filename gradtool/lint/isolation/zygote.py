"""The judge's side: start a clean interpreter once, then ask it for one worker per job."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType, TracebackType

from gradtool.lint.isolation import frames
from gradtool.lint.isolation.jobs import (
    MOST_BYTES,
    Job,
    Setup,
    send_data,
    send_job,
    send_lane,
    send_start,
)
from gradtool.lint.isolation.launch import Interpreter, places
from gradtool.lint.isolation.limits import Limits
from gradtool.lint.isolation.status import Exit, LayerStatus, unguarded
from gradtool.lint.isolation.unready import LibraryRaised, Unready
from gradtool.lint.isolation.worker import Worker
from gradtool.records import Struct, field, replace

START_SECONDS = 60.0
PREPARE_SECONDS = 300.0  # to import the libraries of an assignment, from a slow file system, say
_PIPE_BYTES = 1 << 18
_DESCRIPTORS = 8192
_MOST_KEPT_DATA = 128
_MOST_FREE = 16  # lanes that wait for work; each is a process
NOTHING = "gradtool.lint.isolation.entries:nothing"


class SandboxUnavailable(Exception):
    """The sandbox was required and this host does not give all of it."""


class ZygoteGone(Exception):
    """The zygote could not be started, or has ended; a new one can be started."""


class LibraryFails(ZygoteGone, LibraryRaised):
    """A library cannot be imported where the workers are prepared."""


class _Lane(Struct, frozen=True):
    """The way to one supervisor, what its workers are for, and its interpreter where that serves
    one worker only; `kept` are the names of the data that it keeps."""

    socket: socket.socket
    job: Job
    server: Interpreter | None
    kept: dict[str, None] = field(default_factory=dict)


class Zygote:
    """Starts workers. `run` may be called from several threads, and several may run at once.

    Use it as a context manager, or call `close`: that kills every worker still running, as
    does the death of this process.
    """

    def __init__(self, setup: Setup | None = None, begun: Interpreter | None = None) -> None:
        """`setup` without an import path gets the places of its packages and libraries.

        `begun` was started for it already; `start` waits until it is ready.
        """
        setup = setup or Setup(warm=sys.platform == "linux")
        self._given = setup
        folders = setup.import_path or places((*setup.packages, *setup.libraries))
        self._setup = replace(setup, import_path=folders)
        self._begun = None if begun is None else self._told(begun)
        self._server: Interpreter | None = None
        self._limits = Limits()
        self._require = False
        self._layers: tuple[LayerStatus, ...] = ()
        self._lock = threading.Lock()
        self._free: list[_Lane] = []

    def is_for(self, setup: Setup) -> bool:
        """Whether it was made for just that."""
        return self._given == setup

    def start(self, limits: Limits, require_sandbox: bool) -> None:
        """Start it and see in a first worker what this host enforces.

        Raises:
            SandboxUnavailable: required, and something is not guarded; says what and why.
            ZygoteGone: the interpreter did not start, or no worker came up.
        """
        if not hasattr(os, "fork"):
            raise SandboxUnavailable("running submissions needs fork, which this system lacks")
        self._limits, self._require = limits, False
        _allow_descriptors()
        begun, self._begun = self._begun, None
        self._server = _ready(begun or self._spawned()) if self._setup.warm else None
        try:
            with self.run(NOTHING, (), Limits(wall_seconds=START_SECONDS)) as worker:
                ended = worker.wait()
                self._layers = worker.layers
                if ended.kind != "exited" or ended.code != 0 or not self._layers:
                    text = worker.output.decode("utf-8", "replace")
                    raise ZygoteGone(f"the first worker did not come up: {ended.detail}\n{text}")
            missing = unguarded(self._layers)
            if require_sandbox and missing:
                states = "; ".join(str(layer) for layer in self._layers if not layer.active)
                raise SandboxUnavailable(
                    f"nothing guards {', '.join(missing)} on this host ({states})"
                )
        except BaseException:
            self.close()
            raise
        self._require = require_sandbox

    def run(
        self,
        entry: str,
        read_only_paths: Sequence[Path],
        limits: Limits | None = None,
        *,
        before: str = "",
        keep: str = "",
        data: Mapping[str, bytes] = MappingProxyType({}),
    ) -> Worker:
        """Fork one worker that calls `entry(read_fd, write_fd)` behind every layer.

        Args:
            entry: "package.module:function" in a trusted package. Its module is imported
                before the layers close its files, so it must import what it needs itself.
            read_only_paths: what the submission may read; not links. Anything else is refused.
            limits: of this job, else those of `start`.
            before, keep: see `Job`.
            data: by name, always the same under one name, what `keep` is called with before the
                fork, once for all workers of a lane.  `Worker.kept` are the names that were.

        Raises:
            ZygoteGone: not started, or ended.
        """
        limits = limits or self._limits
        paths = tuple(Path(os.path.abspath(path)) for path in read_only_paths)
        job = Job(entry, paths, limits, self._require, before, keep)
        source, write_fd = _pipe()
        read_fd, sink = _pipe()
        ours, theirs = socket.socketpair()
        try:
            lane = self._send(job, data, (source, sink, theirs.fileno()))
        except BaseException:
            for fd in (write_fd, read_fd):
                os.close(fd)
            ours.close()
            raise
        finally:
            os.close(source)
            os.close(sink)
            theirs.close()
        for fd in (read_fd, write_fd, ours.fileno()):
            os.set_blocking(fd, False)
        slow = 0.0 if self._setup.warm else START_SECONDS
        finish = partial(self._take_back, lane)
        wall = limits.wall_seconds + slow
        kept = frozenset(lane.kept)
        return Worker(read_fd, write_fd, ours, wall, limits.output_bytes, finish, kept)

    @property
    def layers_active(self) -> tuple[LayerStatus, ...]:
        """What the first worker saw in force; empty before `start`."""
        return self._layers

    @property
    def pid(self) -> int:
        """Of the interpreter that was started, 0 when there is none at rest."""
        return self._server.process.pid if self._server else 0

    def dismiss(self) -> None:
        """Nothing more is run: the zygote may end, which takes it some time; `close` waits."""
        with self._lock:
            lanes, self._free = self._free, []
            server = self._server
        for lane in lanes:
            lane.socket.close()
        if server is not None:
            server.ask_to_end()

    def close(self) -> None:
        """End the zygote and with it every worker."""
        self.dismiss()
        with self._lock:
            server, self._server = self._server, None
            begun, self._begun = self._begun, None
        if server is not None:
            server.end()
        if begun is not None:
            begun.drop()

    def __enter__(self) -> Zygote:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _send(
        self, job: Job, data: Mapping[str, bytes], descriptors: tuple[int, int, int]
    ) -> _Lane:
        """Have a worker forked by a supervisor that is free and for such a job, or by a new one."""
        while (lane := self._waiting(job)) is not None:
            try:
                self._keep(lane, data)
                send_start(lane.socket, descriptors)
            except OSError:  # killed meanwhile: no other job is affected
                lane.socket.close()
            else:
                return lane
        server = self._server if self._setup.warm else _ready(self._spawned())
        if server is None:
            raise ZygoteGone("the zygote was not started")
        ours, theirs = socket.socketpair()
        try:
            with self._lock, theirs:
                send_lane(server.control, theirs)
            lane = _Lane(ours, job, None if self._setup.warm else server)
            send_job(ours, job)
            self._keep(lane, data)
            send_start(ours, descriptors)
        except OSError as error:
            ours.close()
            raise ZygoteGone("the zygote has ended") from error
        return lane

    def _keep(self, lane: _Lane, data: Mapping[str, bytes]) -> None:
        for name, content in data.items():
            room = _MOST_KEPT_DATA - len(lane.kept)
            if lane.job.keep and room > 0 and name not in lane.kept:
                send_data(lane.socket, content)
                lane.kept[name] = None

    def _waiting(self, job: Job) -> _Lane | None:
        with self._lock:
            for place in reversed(range(len(self._free))):
                if self._free[place].job == job:
                    return self._free.pop(place)
        return None

    def _take_back(self, lane: _Lane, ended: Exit) -> None:
        """Called when a job has ended: its supervisor is free, unless something was wrong."""
        done = lane
        with self._lock:
            usable = ended.kind != "lost" and lane.server is None and self._server is not None
            if usable:
                self._free.append(lane)
                if len(self._free) <= _MOST_FREE:
                    return
                done = self._free.pop(0)
        done.socket.close()
        if done.server is not None:
            done.server.end()

    def _spawned(self) -> Interpreter:
        try:
            interpreter = Interpreter()
        except OSError as error:
            raise ZygoteGone(f"the interpreter did not start: {error}") from error
        return self._told(interpreter)

    def _told(self, interpreter: Interpreter) -> Interpreter:
        with suppress(frames.FrameError):  # `_ready` tells
            frames.write_frame(interpreter.control.fileno(), self._setup.to_bytes())
        return interpreter


def _ready(server: Interpreter) -> Interpreter:
    """It, once it says that it can fork workers.

    Raises:
        ZygoteGone: it cannot, and has ended.
    """
    waiting = select.poll()
    waiting.register(server.control.fileno(), select.POLLIN)
    if not waiting.poll(PREPARE_SECONDS * 1000):
        server.drop()
        raise ZygoteGone(f"the libraries were not imported within {PREPARE_SECONDS:.0f} s")
    try:
        answer = frames.read_frame(server.control.fileno(), MOST_BYTES)
    except frames.FrameError as error:
        server.drop()
        raise ZygoteGone("their interpreter ended while it started") from error
    if answer != b"ready":
        server.process.wait()
        told = Unready.from_bytes(answer)
        if told.library:
            raise LibraryFails(told.library, told.error)
        trace = f"\n{told.trace}" if told.trace else ""
        raise ZygoteGone(f"their interpreter did not start: {told.error}{trace}")
    return server


def _allow_descriptors() -> None:
    """Each worker takes some here, and a usual limit is too low for those of a large machine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # this system allows fewer than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _pipe() -> tuple[int, int]:
    """A pipe that holds most messages whole, so that nobody is woken for each part of one."""
    ends = os.pipe()
    if sys.platform == "linux":
        with suppress(OSError):  # this user has too many large ones
            fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return ends
