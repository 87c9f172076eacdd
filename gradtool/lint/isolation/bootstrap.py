"""The worker, from its fork to the call of the entry."""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

from gradtool.lint.isolation import OURS, frames, kernel
from gradtool.lint.isolation.bell import Bell
from gradtool.lint.isolation.jobs import Job, Setup
from gradtool.lint.isolation.layers import lock_again, lock_each, lock_in, lock_once, ready_again
from gradtool.lint.isolation.layers.base import Context, Inactive, Layer, Opened
from gradtool.lint.isolation.layers.namespaces import Nest
from gradtool.lint.isolation.layers.rlimits import address_space, tasks_of_user
from gradtool.lint.isolation.readable import (
    GrantedLibraries,
    importable_afterwards,
    imported_specs,
    library_specs,
    open_system,
)
from gradtool.lint.isolation.report import layers_to_bytes, locked_to_bytes
from gradtool.lint.isolation.status import LayerStatus, unguarded
from gradtool.lint.isolation.unready import LibraryRaised, in_a_line
from gradtool.records import Struct

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
            try:
                import_module(name)
            except BaseException as error:
                raise LibraryRaised(name, in_a_line(error)) from None
        self.specs = {**imported_specs((*OURS, *setup.packages)), **wanted}
        for name in setup.preload:
            import_module(name)
        self.system: tuple[Opened, ...] = open_system(self.specs, OURS)
        self.finder = GrantedLibraries(self.specs)
        self.import_path = importable_afterwards()
        for name in setup.rehearse if setup.warm else ():
            load_entry(name, setup.packages)()
        sys.dont_write_bytecode = True  # of ours some may be kept, of a submission none
        os.environ.clear()
        # Not collected before: each worker would fill the holes that this leaves, each in a page
        # of its own.
        gc.enable()
        gc.freeze()  # a collection in a worker would copy every page of the zygote


class Surroundings(Struct, frozen=True):
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


class Station:
    """What is done of every worker of a lane before the first of them is forked.

    Where the supervisor is alone with its worker in namespaces of their own, it locks itself in,
    once for all workers, for what a fork inherits; it needs nothing that it then cannot do.  What
    it shares with a worker gives that no hold on it: the first process of a namespace gets no
    signals from inside, a process that is not dumpable has no tracers and no open memory, and
    the filter that a worker adds takes from it what only the supervisor needs.

    Attributes:
        job: what the workers are for.
        around: what the zygote prepared.
        statuses: what is in force already; None where each worker locks itself in.
    """

    def __init__(self, job: Job, around: Surroundings, first: bool) -> None:
        """`first`: this is the first process of a namespace of its own."""
        self.job = job
        self.around = around
        self._first = first
        self.statuses: tuple[LayerStatus, ...] | None = None
        self._again: tuple[Callable[[], object], ...] | None = None
        self._entry: Entry | None = None
        self._keep: Entry | None = None
        self._kept: list[bytes] = []  # until there is somebody to give it to
        self._context: Context | None = None
        self._refused: tuple[str, ...] = ()
        self._told = b""
        prepared, nest = around.prepared, around.nest
        if prepared is None:
            return
        shared = first and nest.own_user
        with suppress(Exception):  # the worker will tell
            self._entry = self._loaded(prepared)
        tasks = 1 if shared else _beside(nest)
        self._context = context_of(job, nest, prepared, tasks, first)
        for layer in around.layers:
            with suppress(Inactive, OSError):  # `apply` tells
                if layer.name not in around.setup.layers_off:
                    layer.prepare(self._context)
        if shared and self._entry is not None:
            self._lock_in(self._context, prepared)

    def keep(self, data: bytes) -> None:
        """Take what every later worker is to have."""
        if self._keep is not None:
            self._keep(data)
            gc.freeze()
        else:
            self._kept.append(data)

    def _lock_in(self, context: Context, prepared: Prepared) -> None:
        setup = self.around.setup
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        self.statuses = lock_once(context, self.around.layers, setup.layers_off)
        self._refused, self._told = self._report(self.statuses)
        if self._seen_in_force(self.statuses):
            self._again = ready_again(context, self.around.layers, self.statuses)
        for place in prepared.system:  # they are in the rules now
            os.close(place.fd)
        gc.freeze()

    def _seen_in_force(self, statuses: tuple[LayerStatus, ...]) -> bool:
        """Whether a first fork finds in force all that each of them has to lock itself."""
        child = os.fork()
        if child == 0:
            code = 1
            try:
                assert self._context is not None
                code = int(lock_each(self._context, self.around.layers, statuses) != statuses)
            finally:
                os._exit(code)
        return os.waitpid(child, 0)[1] == 0

    def enter(self) -> tuple[Entry, int, tuple[str, ...], bytes]:
        """The rest, in a worker: the entry, and what to report: the number of this process, what
        keeps it from being called, and `layers_to_bytes`.

        Raises:
            Exception: the entry cannot be loaded.
        """
        around = self.around
        if self.statuses is not None:
            assert self._entry is not None
            assert self._context is not None
            pid = _pid_outside()
            if self._again is not None and lock_again(self._again):
                return self._entry, pid, self._refused, self._told
            statuses = lock_each(self._context, around.layers, self.statuses)
            if statuses == self.statuses:
                return self._entry, pid, self._refused, self._told
            return self._entry, pid, *self._report(statuses)
        prepared = around.prepared or Prepared(around.setup)
        entry = self._entry or self._loaded(prepared)
        nest = around.nest
        context = self._context or context_of(self.job, nest, prepared, _beside(nest), self._first)
        pid = _pid_outside()
        return entry, pid, *self._report(lock_in(context, around.layers, around.setup.layers_off))

    def _loaded(self, prepared: Prepared) -> Entry:
        packages = self.around.setup.packages
        entry = load_entry(self.job.entry, packages)
        if self.job.keep:
            self._keep = load_entry(self.job.keep, packages)
        if self.job.before:
            load_entry(self.job.before, packages)()
        for data in self._kept:
            self.keep(data)
        sys.path[:] = prepared.import_path
        sys.meta_path.append(prepared.finder)
        return entry

    def _report(self, statuses: tuple[LayerStatus, ...]) -> tuple[tuple[str, ...], bytes]:
        refused = unguarded(statuses) if self.job.require_sandbox else ()
        return refused, layers_to_bytes(statuses, refused)


def _beside(nest: Nest) -> int:
    """Tasks that are counted with those of a worker."""
    return 0 if nest.own_user else tasks_of_user()


def context_of(job: Job, nest: Nest, prepared: Prepared, tasks: int, first: bool) -> Context:
    """What the layers need to know of a job, beside so many tasks, below such a parent."""
    return Context(
        limits=job.limits,
        readable=job.readable,
        system=prepared.system,
        namespaces=nest.outside,
        namespaces_missing=nest.missing,
        own_user=nest.own_user,
        first=first,
        superuser=os.getuid() == 0,
        address_space=address_space(),
        tasks=tasks,
    )


def become_worker(
    station: Station, descriptors: tuple[int, int, int, int, int], bell: Bell
) -> NoReturn:
    """Turn this forked process into a worker; it ends with the entry.

    Args:
        station: what was done before.
        descriptors: an empty input, where output goes, from the judge, to the judge, the
            lifeline; all above `LIFELINE`.
        bell: of the supervisor.
    """
    code = 1
    try:
        bell.leave()
        _settle(descriptors)
        entry, pid, refused, told = station.enter()
        frames.write_parts(LIFELINE, (locked_to_bytes(pid, told),))
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


def clear_place() -> int:
    """Called once in a process that forks workers: an empty input, and no descriptor that comes
    later gets a number that is fixed in a worker."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o077)
    os.chdir("/")
    while (nothing := os.open(os.devnull, os.O_RDONLY)) <= LIFELINE:
        pass
    return nothing


def _settle(descriptors: tuple[int, int, int, int, int]) -> None:
    """A session of its own, known descriptors."""
    os.setsid()
    nothing, output, source, sink, lifeline = descriptors
    for target, fd in enumerate((nothing, output, output, source, sink, lifeline)):
        os.dup2(fd, target, False)
    for fd in descriptors:
        os.close(fd)


def _pid_outside() -> int:
    """The number of this process where /proc was mounted, which is where the judge looks."""
    try:
        return int(os.readlink("/proc/self"))
    except (OSError, ValueError):
        return os.getpid()
