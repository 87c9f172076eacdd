"""What a process does that has imported all that a worker of `gradtool.check` needs: it forks.

Its text is run behind that of a worker's start, in place of serving; see `tests.forked`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket


def born(control: int) -> tuple[int, int]:
    """Fork a worker for each request, until the other end closes; returns in the workers only.

    A request is a folder and variables of the environment, with three descriptors: the two that
    are returned, and one on which the worker's number is told, and at its end the exit code, in
    eight bytes each.
    """
    requests = socket.socket(fileno=control)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for workers
    while True:
        text, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, 3)
        if not text:
            os._exit(0)
        ask, answer, status = descriptors
        if os.fork():
            for fd in (ask, answer, status):
                os.close(fd)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        requests.close()
        if worker := os.fork():
            os.close(ask)
            os.close(answer)
            os.write(status, b"%8d" % worker)
            os.write(status, b"%8d" % os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))
            os._exit(0)
        os.close(status)
        os.setsid()
        random.seed()
        folder, variables = json.loads(text)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        return ask, answer
