"""Resource limits of POSIX: address space, processor time, file size, tasks, descriptors."""

from __future__ import annotations

import mmap
import os
import resource
import sys
from collections.abc import Callable
from functools import partial
from math import ceil

from gradtool.lint.isolation.layers.base import Context, Inactive, Layer, Step

DESCRIPTORS = 64
SLACK_TASKS = 16
"""Where tasks of the same user outside the job count too, they come and go meanwhile."""

ENFORCES_ADDRESS_SPACE = sys.platform != "darwin"


def address_space() -> int:
    """Bytes of address space that this process has mapped; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def tasks_of_user() -> int:
    """How many threads of all processes run under this user; 0 where the system does not say."""
    user = os.getuid()
    count = 0
    try:
        for entry in os.scandir("/proc"):
            if entry.name.isdecimal():
                try:
                    if entry.stat().st_uid == user:
                        count += len(os.listdir(f"/proc/{entry.name}/task"))
                except OSError:  # it ended meanwhile, or is not ours to look at
                    continue
    except OSError:
        return 0
    return count


Values = dict[int, tuple[int, int]]
"""Soft and hard value by the kind of limit."""


def of_all(context: Context) -> Values:
    """What holds for any process in the same way."""
    limits = context.limits
    tasks = limits.processes + context.tasks
    if not context.own_user:
        tasks += SLACK_TASKS
    values = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_FSIZE: (limits.file_bytes, limits.file_bytes),
        resource.RLIMIT_NPROC: (tasks, tasks),
        resource.RLIMIT_NOFILE: (DESCRIPTORS, DESCRIPTORS),
    }
    if sys.platform == "linux":
        values[resource.RLIMIT_MSGQUEUE] = (0, 0)
    return values


def of_one(context: Context) -> Values:
    """What a process uses up, which one that forks many workers must not."""
    limits = context.limits
    cpu = ceil(limits.cpu_seconds)
    # The soft limit sends a signal that can be ignored, the hard one kills a second later.
    values = {resource.RLIMIT_CPU: (cpu, cpu + 1)}
    if ENFORCES_ADDRESS_SPACE:
        memory = context.address_space + limits.memory_bytes
        values[resource.RLIMIT_AS] = (memory, memory)
    return values


def _set(wanted: Values) -> None:
    """Set them, never above what the process was given itself."""
    for kind, values in _within(wanted):
        resource.setrlimit(kind, values)


def _within(wanted: Values) -> list[tuple[int, tuple[int, int]]]:
    """The limits, none above what this process was given itself."""
    found = []
    for kind, (soft, hard) in wanted.items():
        ceiling = resource.getrlimit(kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        found.append((kind, (soft, hard)))
    return found


def apply(context: Context) -> str:
    """Set those that hold for any process in the same way."""
    _set(of_all(context))
    if not ENFORCES_ADDRESS_SPACE:
        return "this system does not enforce a limit of memory"
    if context.superuser:
        return "the number of tasks is not limited for root"
    return ""


def apply_to_one(context: Context) -> str:
    """Set those that a process uses up."""
    _set(of_one(context))
    return ""


def ready_for_one(context: Context) -> tuple[Callable[[], object], ...]:
    """The same in a fork, which has the limits of this process."""
    return tuple(partial(resource.setrlimit, *limit) for limit in _within(of_one(context)))


def _probe(wanted: Values, raised: int) -> None:
    """None is higher than wanted, and to raise one is refused."""
    for kind, (soft, hard) in wanted.items():
        found = resource.getrlimit(kind)
        if found[0] > soft or found[1] > hard:
            raise Inactive(f"limit {kind} is {found}, above {(soft, hard)}")
    soft, hard = resource.getrlimit(raised)
    try:
        resource.setrlimit(raised, (soft, hard + 1))
    except (ValueError, OSError):
        pass
    else:
        raise Inactive("a limit could be raised again")


def probe(context: Context) -> None:
    """None is higher than wanted, and raising one is refused."""
    _probe(of_all(context), resource.RLIMIT_NOFILE)


def probe_one(context: Context) -> None:
    """The same, and a mapping that is larger than all memory allowed is refused, too."""
    _probe(of_one(context), resource.RLIMIT_CPU)
    if ENFORCES_ADDRESS_SPACE:
        _too_much(context.limits.memory_bytes + context.address_space)


def _too_much(size: int) -> None:
    try:
        mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError):
        return
    mapping.close()  # nothing was touched, so it cost nothing
    raise Inactive("more memory than allowed could be mapped")


LAYER = Layer(
    "rlimits",
    40,
    frozenset({"cpu", "memory"} if ENFORCES_ADDRESS_SPACE else {"cpu"}),
    Step(apply, probe),
    Step(apply_to_one, probe_one, ready_for_one),
)
