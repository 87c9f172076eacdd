"""What whole processes cost, in wall time and in processor time.

Processor time (user and system, of the process and of the children that it waited for) hardly
depends on what else the machine does; wall time is what a person waits.  Commands that are
compared are run in turns, A B A B, so that a slow minute of the machine hits all of them.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from gradtool.records import Struct


class Command(Struct, frozen=True):
    """A command line with what it adds to the environment, and the folder that it starts in."""

    line: Sequence[str]
    env: Mapping[str, str]
    folder: Path


class Cost(Struct, frozen=True):
    """Seconds."""

    wall: float
    cpu: float


def once(command: Command) -> Cost:
    """Run a command to its end, its output thrown away.

    Raises:
        RuntimeError: it did not end with 0; the time of a failure means nothing.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command.line,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=command.folder,
        # With byte code, which pip has made of what the others import.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **command.env},
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)  # reaped here: Popen must not try
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {' '.join(command.line)}")
    return Cost(wall, usage.ru_utime + usage.ru_stime)


def medians(commands: Mapping[str, Command], runs: int, warmups: int = 1) -> dict[str, Cost]:
    """The median cost of each command, run in turns; `warmups` rounds before are not counted.

    The uncounted round compiles modules to bytecode and fills the caches of the system and, where
    it is on, of gradtool.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for turn in range(warmups + runs):
        for name, command in commands.items():
            cost = once(command)
            if turn >= warmups:
                costs[name].append(cost)
    return {
        name: Cost(median(c.wall for c in found), median(c.cpu for c in found))
        for name, found in costs.items()
    }
