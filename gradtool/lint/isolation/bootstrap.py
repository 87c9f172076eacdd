"""The worker, from its fork to the call of the entry."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn

from gradtool.lint.isolation import frames
from gradtool.lint.isolation.jobs import Job, Setup
from gradtool.lint.isolation.layers import lock_in
from gradtool.lint.isolation.layers.base import Context, Layer, Opened
from gradtool.lint.isolation.layers.namespaces import Nest
from gradtool.lint.isolation.layers.rlimits import address_space, tasks_of_user
from gradtool.lint.isolation.readable import (
    GrantedLibraries,
    importable_afterwards,
    imported_specs,
    library_specs,
    open_system,
)
from gradtool.lint.isolation.report import Locked, locked_to_bytes
from gradtool.lint.isolation.status import unguarded

Entry = Callable[..., object]

SOURCE, SINK, LIFELINE = 3, 4, 5
"""The descriptors of the worker; the last one is closed before the entry is called."""

MOST_DESCRIPTORS = 1024
"""The zygote limits itself to these, so that a worker knows that it closed every one."""

OUT_OF_MEMORY = 87
"""Exit code for a MemoryError nobody caught. A submission can imitate it, to no avail."""


def load_entry(entry: str, packages: Sequence[str]) -> Entry:
    """The function that "package.module:function" names.

    Raises:
        ValueError: it is not in a trusted package, or not callable.
    """
    module, _, name = entry.partition(":")
    if module.partition(".")[0] not in packages:
        raise ValueError(f"entry {entry!r} is not in one of {', '.join(packages)}")
    found: Entry = getattr(import_module(module), name)
    if not callable(found):
        raise ValueError(f"entry {entry!r} is not a function")
    return found


class Prepared:
    """What does not depend on the job: imports done, libraries found, their files opened.

    The environment is empty afterwards: it was only for the interpreter and the libraries.
    """

    def __init__(self, setup: Setup) -> None:
        wanted = library_specs(setup.libraries)
        for name in wanted:
            import_module(name)
        self.specs = {**imported_specs(setup.packages), **wanted}
        for name in setup.preload:
            import_module(name)
        self.system: tuple[Opened, ...] = open_system(self.specs)
        self.finder = GrantedLibraries(self.specs)
        self.import_path = importable_afterwards()
        for name in setup.rehearse if setup.warm else ():
            load_entry(name, setup.packages)()
        os.environ.clear()
        gc.collect()
        gc.freeze()  # a collection in a worker would copy every page of the zygote


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every worker of a zygote finds.

    Attributes:
        setup: as the judge asked.
        layers: to lock in with, in order.
        nest: where the zygote lives.
        prepared: None where each worker prepares itself.
    """

    setup: Setup
    layers: tuple[Layer, ...]
    nest: Nest
    prepared: Prepared | None


def context_of(job: Job, nest: Nest, prepared: Prepared) -> Context:
    """What the layers need to know of a job."""
    return Context(
        limits=job.limits,
        readable=job.readable,
        system=prepared.system,
        namespaces=nest.outside,
        namespaces_missing=nest.missing,
        own_user=nest.own_user,
        superuser=os.getuid() == 0,
        address_space=address_space(),
        tasks=0 if nest.own_user else tasks_of_user(),
    )


def become_worker(
    job: Job,
    around: Surroundings,
    context: Context | None,
    descriptors: tuple[int, int, int, int],
) -> NoReturn:
    """Turn this forked process into the worker of a job; it ends with the entry.

    Args:
        job: what to run.
        around: what the zygote prepared.
        context: of the job; None where each worker prepares itself.
        descriptors: from the judge, to the judge, the lifeline, and where output goes.
    """
    setup = around.setup
    code = 1
    try:
        _settle(descriptors)
        prepared = around.prepared or Prepared(setup)
        entry = load_entry(job.entry, setup.packages)
        context = context or context_of(job, around.nest, prepared)
        pid = _pid_outside()
        sys.path[:] = prepared.import_path
        sys.meta_path.append(prepared.finder)
        statuses = lock_in(context, around.layers, setup.layers_off)
        refused = unguarded(statuses) if job.require_sandbox else ()
        frames.write_frame(LIFELINE, locked_to_bytes(Locked(pid, statuses, refused)))
        os.closerange(LIFELINE, MOST_DESCRIPTORS)
        if not refused:
            entry(SOURCE, SINK)
            code = 0
    except SystemExit as request:
        code = request.code if isinstance(request.code, int) else int(request.code is not None)
    except MemoryError:
        code = OUT_OF_MEMORY
    except BaseException:
        traceback.print_exc()
    finally:
        # Nothing may run after the entry: no handlers at exit, no other code of the zygote.
        os._exit(code & 0xFF)


def _settle(descriptors: tuple[int, int, int, int]) -> None:
    """A session of its own, default signals, known descriptors."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    source, sink, lifeline, output = descriptors
    nothing = os.open(os.devnull, os.O_RDONLY)
    # By way of copies above every target, for a source may have the number of a target.
    wanted = (nothing, output, output, source, sink, lifeline)
    copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, LIFELINE + 1) for fd in wanted]
    for target, copy in enumerate(copies):
        os.dup2(copy, target, inheritable=False)
    for fd in {*descriptors, *copies, nothing}:
        if fd > LIFELINE:
            os.close(fd)
    os.umask(0o077)
    os.chdir("/")


def _pid_outside() -> int:
    """The number of this process where /proc was mounted, which is where the judge looks."""
    try:
        return int(os.readlink("/proc/self"))
    except (OSError, ValueError):
        return os.getpid()
