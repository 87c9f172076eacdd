"""The zygote's own process: prepare once, then fork a supervisor for each lane of jobs."""

from __future__ import annotations

import os
import posix
import resource
import signal
import socket
import sys

from gradtool.lint.isolation import descendants, frames, kernel
from gradtool.lint.isolation.bootstrap import MOST_DESCRIPTORS, Prepared, Surroundings
from gradtool.lint.isolation.jobs import MOST_BYTES, Setup, receive_lane
from gradtool.lint.isolation.layers import all_layers
from gradtool.lint.isolation.layers.namespaces import LAYER as NAMESPACES
from gradtool.lint.isolation.layers.namespaces import Nest, for_one_child, leave, settle
from gradtool.lint.isolation.supervisor import serve
from gradtool.lint.isolation.unready import unready

READY = b"ready"


def main(control_fd: int) -> None:
    """Serve the judge on this socket; returns when it is gone."""
    control = socket.socket(fileno=control_fd)
    try:
        setup = Setup.from_bytes(frames.read_frame(control_fd, MOST_BYTES))
    except frames.FrameEnded:  # it is not needed after all
        return
    # After the standard library, which nothing that is installed may shadow.
    sys.path += [place for place in setup.import_path if place not in sys.path]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(MOST_DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    off = NAMESPACES.name in setup.layers_off
    nest = Nest(missing="switched off") if off else leave()
    if nest.outside:
        # Only a child is inside the new process namespace; it does the work.
        child = os.fork()
        if child:
            control.close()
            os.waitpid(child, 0)
            os._exit(0)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        nest = settle(nest)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors are collected by the system
    alone = sys.platform == "linux" and not nest.outside
    if alone:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    _serve(control, setup, nest)
    if alone:  # otherwise the namespace ends with its first process, which this one is
        descendants.kill_below_self()


def with_handlers() -> None:
    """From now on what is registered to run at a fork is run, as anywhere.

    What the standard library registers when it is imported was left out: new locks and a new seed
    in every child.  Here only the one thread there is forks, and leaves no lock behind; `random`
    goes on in each worker from the same place, which makes them alike.  It was a twentieth of what
    a worker takes, mostly copies of pages that nothing else touches.
    """
    os.register_at_fork = posix.register_at_fork


def _tell(control: socket.socket, text: bytes) -> bool:
    """Whether the judge is still there to read it: a mistake in an assignment ends it early."""
    try:
        frames.write_frame(control.fileno(), text)
    except frames.FrameEnded:
        return False
    return True


def _serve(control: socket.socket, setup: Setup, nest: Nest) -> None:
    layers = all_layers()
    try:
        prepared = Prepared(setup) if setup.warm else None
    except BaseException as error:
        _tell(control, unready(error).to_bytes())
        return
    with_handlers()
    if not _tell(control, READY):
        return
    around = Surroundings(setup, layers, nest, prepared)
    while (lane := receive_lane(control)) is not None:
        with for_one_child(nest) as first, lane:
            if os.fork() == 0:
                control.close()
                serve(lane, around, first)
