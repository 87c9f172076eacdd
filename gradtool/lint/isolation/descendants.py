"""Kill everything that a process started, where no namespace does it at one stroke."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

PATIENCE = 5.0


def parents() -> dict[int, int]:
    """The parent of every process that can be seen."""
    found: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    # The name stands in brackets and may hold anything, brackets too.
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            found[int(entry)] = int(fields[1])
    return found


def below(root: int, parent_of: dict[int, int]) -> set[int]:
    """All descendants of `root`."""
    children: dict[int, list[int]] = {}
    for child, parent in parent_of.items():
        children.setdefault(parent, []).append(child)
    found: set[int] = set()
    todo = [root]
    while todo:
        fresh = [child for child in children.get(todo.pop(), ()) if child not in found]
        found.update(fresh)
        todo += fresh
    return found


def reap() -> bool:
    """Collect the ended children; True when there is no child at all."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def kill_below_self() -> None:
    """Kill every descendant of this process, which must be a subreaper, and collect them.

    All are stopped before the first is killed, so that none can fork away from the list.
    """
    deadline = time.monotonic() + PATIENCE
    while not reap() and time.monotonic() < deadline:
        stopped: set[int] = set()
        while fresh := below(os.getpid(), parents()) - stopped:
            _signal(fresh, signal.SIGSTOP)
            stopped |= fresh
        _signal(stopped, signal.SIGKILL)
        time.sleep(0.001)


def _signal(pids: set[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def kill_group(leader: int) -> None:
    """Kill a process group and collect the leader's children that came to us."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


CAN_SEE_DESCENDANTS = sys.platform == "linux"
