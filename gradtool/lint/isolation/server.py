"""The zygote's own process: prepare once, then fork a supervisor per job until the judge goes."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sys
import traceback

from gradtool.lint.isolation import descendants, frames, kernel
from gradtool.lint.isolation.bootstrap import MOST_DESCRIPTORS, Prepared, load_entry
from gradtool.lint.isolation.jobs import MOST_BYTES, Setup, receive_job
from gradtool.lint.isolation.layers import all_layers
from gradtool.lint.isolation.layers.namespaces import LAYER as NAMESPACES
from gradtool.lint.isolation.layers.namespaces import Nest, for_one_child, leave, settle
from gradtool.lint.isolation.supervisor import supervise

READY = b"ready"


def main(control_fd: int) -> None:
    """Serve the judge on this socket; returns when it is gone."""
    control = socket.socket(fileno=control_fd)
    setup = Setup.from_bytes(frames.read_frame(control_fd, MOST_BYTES))
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


def _serve(control: socket.socket, setup: Setup, nest: Nest) -> None:
    layers = all_layers()
    try:
        prepared = Prepared(setup, layers) if setup.warm else None
    except BaseException:
        frames.write_frame(control.fileno(), traceback.format_exc().encode())
        return
    frames.write_frame(control.fileno(), READY)
    while (received := receive_job(control)) is not None:
        job, descriptors = received
        if prepared is not None:
            _import_entry(job.entry, setup)
        with for_one_child(nest) as first:
            child = os.fork()
            if child == 0:
                control.close()
                supervise(job, prepared, setup, layers, nest, first, descriptors)
        for fd in descriptors:
            os.close(fd)
        if prepared is None:  # started for this job alone, to be collected with it
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)
            return


def _import_entry(entry: str, setup: Setup) -> None:
    """Import it before the fork, so that only the first job pays; the worker tells if it fails."""
    try:
        load_entry(entry, setup.packages)
    except Exception:
        return
