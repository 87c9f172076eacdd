"""A trusted process that forks one worker at a time, watches it, and buries all of it.

It sees four things: the worker's end, its output (kept up to a limit, the rest thrown away, so that
a flood neither blocks nor fills anything), the lifeline to the judge (closed: kill), the clock.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import sys
import time
import traceback
from typing import Literal, NoReturn

from gradtool.lint.isolation import descendants, frames, kernel
from gradtool.lint.isolation.bell import Bell
from gradtool.lint.isolation.bootstrap import (
    OUT_OF_MEMORY,
    Station,
    Surroundings,
    become_worker,
    clear_place,
)
from gradtool.lint.isolation.jobs import receive_job, receive_start
from gradtool.lint.isolation.limits import Limits
from gradtool.lint.isolation.report import ended_to_bytes
from gradtool.lint.isolation.status import Exit
from gradtool.records import Struct, field

CHUNK = 1 << 16
BYTES_PER_UNIT_OF_RSS = 1 if sys.platform == "darwin" else 1024

Cause = Literal["itself", "timeout", "killed"]


def serve(lane: socket.socket, around: Surroundings, first: bool) -> NoReturn:
    """Run the workers of a lane, one after the other, in this forked process; then end.

    Args:
        lane: from the judge.
        around: what the zygote prepared.
        first: this is the first process of a namespace of its own.
    """
    code = 1
    try:
        if sys.platform == "linux":
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        nothing = clear_place()
        bell = Bell()
        job = receive_job(lane)
        if job is not None:
            station = Station(job, around, first)
            while (descriptors := receive_start(lane, station.keep)) is not None:
                _run(station, descriptors, nothing, first, bell)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _run(
    station: Station,
    descriptors: tuple[int, int, int],
    nothing: int,
    first: bool,
    bell: Bell,
) -> None:
    """One worker, from its fork to the report of its end on the lifeline."""
    started = time.monotonic()
    job = station.job
    source, sink, lifeline = descriptors
    output, output_of_worker = os.pipe()
    worker = os.fork()
    if worker == 0:
        become_worker(station, (nothing, output_of_worker, source, sink, lifeline), bell)
    for fd in (source, sink, output_of_worker):
        os.close(fd)
    os.set_blocking(output, False)
    kept = Kept(output, job.limits.output_bytes)
    deadline = started + job.limits.wall_seconds
    rung = bell.of(worker)
    cause, seen = _watch(worker, kept, lifeline, bell, rung, deadline)
    end = _bury(worker, first, seen)
    bell.collected(rung)
    kept.drain()
    ended = describe(cause, end, job.limits, time.monotonic() - started)
    with contextlib.suppress(frames.FrameError):  # the judge has gone
        frames.write_frames(lifeline, (ended_to_bytes(ended), bytes(kept.data)))
    os.close(lifeline)
    os.close(output)


End = tuple[int, resource.struct_rusage]
"""Status of `wait4` and what was used."""


class Kept(Struct):
    """The beginning of what the worker printed.

    Attributes:
        fd: non-blocking.
        most: how many bytes to keep.
        data: kept so far.
        open: somebody can still write.
    """

    fd: int
    most: int
    data: bytearray = field(default_factory=bytearray)
    open: bool = True

    def take(self) -> bool:
        """Take what there is, at most one chunk; False when there is nothing now."""
        try:
            part = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return False
        self.open = bool(part)
        self.data += part[: max(0, self.most - len(self.data))]
        return self.open

    def drain(self) -> None:
        """Take what is left after all writers are dead: a pipe holds a few chunks at most."""
        for _ in range(64):
            if not self.take():
                return


def _watch(
    worker: int, kept: Kept, lifeline: int, bell: Bell, rung: int, deadline: float
) -> tuple[Cause, End | None]:
    """Wait for the worker, the clock or the judge, whichever is first.

    `rung` can be read once the worker may have ended, and `bell` is silenced then.
    """
    poll = select.poll()
    for fd in (lifeline, kept.fd, rung):
        poll.register(fd, select.POLLIN)
    while True:
        pid, status, usage = os.wait4(worker, os.WNOHANG)
        if pid:
            return "itself", (status, usage)
        left = deadline - time.monotonic()
        if left <= 0:
            return "timeout", None
        ready = {fd for fd, _ in poll.poll(left * 1000)}
        if lifeline in ready:  # the judge sends nothing: this is its end
            return "killed", None
        if kept.fd in ready and not kept.take() and not kept.open:
            poll.unregister(kept.fd)
        if rung in ready:
            bell.silence()


def _bury(worker: int, first: bool, end: End | None) -> End | None:
    """Kill whatever is left of the job, and collect the worker if that was not done yet."""
    if first:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
    else:
        descendants.kill_group(worker)
        with contextlib.suppress(ProcessLookupError):
            if end is None:
                os.kill(worker, signal.SIGKILL)
    if end is None:
        _, status, usage = os.wait4(worker, 0)
        end = status, usage
    if first:
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
    elif descendants.CAN_SEE_DESCENDANTS:
        descendants.kill_below_self()
    return end


def describe(cause: Cause, end: End | None, limits: Limits, wall: float) -> Exit:
    """Say how a job ended, from what the system says of its worker."""
    if end is None:
        return Exit("lost", "the worker could not be collected", wall_seconds=wall)
    status, usage = end
    cpu = usage.ru_utime + usage.ru_stime
    peak = usage.ru_maxrss * BYTES_PER_UNIT_OF_RSS
    if cause == "timeout":
        text = f"stopped after {limits.wall_seconds:g} s of wall-clock time"
        return Exit("timeout", text, 0, cpu, peak, wall)
    if cause == "killed":
        return Exit("killed", "stopped by the judge", 0, cpu, peak, wall)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        out_of_time = number == signal.SIGKILL and cpu >= limits.cpu_seconds
        if number == signal.SIGXCPU or out_of_time:
            text = f"stopped after {limits.cpu_seconds:g} s of processor time"
            return Exit("cpu", text, number, cpu, peak, wall)
        return Exit("signalled", f"ended by {_signal_name(number)}", number, cpu, peak, wall)
    code = os.WEXITSTATUS(status)
    if code == OUT_OF_MEMORY:
        text = f"needed more than {limits.memory_bytes // (1 << 20)} MiB of memory"
        return Exit("memory", text, code, cpu, peak, wall)
    return Exit("exited", f"ended with code {code}", code, cpu, peak, wall)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
