"""What a layer is, and what it is told about the job."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from gradtool.lint.isolation.limits import Limits
from gradtool.lint.isolation.status import LayerStatus
from gradtool.records import Struct, replace


class Inactive(Exception):
    """The layer is not in force; the text says why."""


LOWEST_DESCRIPTOR = 16

Access = Literal["read", "list", "write"]


class Opened(Struct, frozen=True):
    """A path that was opened while that was still allowed.

    Attributes:
        fd: opened with O_PATH.
        folder: whether it is a directory.
        access: what the worker may do with it and all below it: "read" files and list folders,
            only "list" folders, or "write" too (only /dev/null).
    """

    fd: int
    folder: bool
    access: Access = "read"


class Context(Struct, frozen=True):
    """The job, as far as the layers need it.

    Attributes:
        limits: of the job.
        readable: files and folders of the submission.
        system: interpreter and libraries.
        namespaces: the inode of each namespace that the judge lives in; empty when the zygote
            could not leave them.
        namespaces_missing: why it could not, else "".
        own_user: whether the worker can have a user namespace of its own.
        first: the parent is the first process of a process namespace of its own.
        superuser: whether the judge is root, whose tasks the kernel does not count.
        address_space: bytes in use before the job began.
        tasks: processes and threads that count against this user already.
        active: the layers that are in force so far.
    """

    limits: Limits
    readable: tuple[Path, ...] = ()
    system: tuple[Opened, ...] = ()
    namespaces: Mapping[str, int] | None = None
    namespaces_missing: str = ""
    own_user: bool = False
    first: bool = False
    superuser: bool = False
    address_space: int = 0
    tasks: int = 0
    active: tuple[LayerStatus, ...] = ()

    def with_active(self, active: tuple[LayerStatus, ...]) -> Context:
        """The same job, with what is in force now."""
        return replace(self, active=active)

    def is_active(self, name: str) -> bool:
        """Whether the layer of that name is in force."""
        return any(layer.active and layer.name == name for layer in self.active)


class Step(Struct, frozen=True):
    """What one process does for a layer.

    Attributes:
        apply: locks this process in and returns a remark ("" or what this host lacks of it);
            raises Inactive or OSError when it cannot.
        probe: tries what is forbidden now, harmlessly; raises Inactive when it was possible.
        ready: what a fork of this process has left to do of `apply`, with all worked out that is
            the same for each fork; nothing by default.
    """

    apply: Callable[[Context], str]
    probe: Callable[[Context], None]
    ready: Callable[[Context], tuple[Callable[[], object], ...]] = lambda _: ()


def only_tried(probe: Callable[[Context], None]) -> Step:
    """The step of a process that a fork has locked in already."""
    return Step(lambda _: "", probe)


class Layer(Struct, frozen=True):
    """One mechanism of the host.

    What a fork inherits can be done once, in the process that forks the workers of a lane; what
    is of one process alone is done in each of them.  A worker without such a lane does both.

    Attributes:
        name: for people and for the report.
        order: layers are applied from the lowest; what a layer forbids, no later one may need.
        guards: members of `status.GUARDS` that it guards by itself.
        once: what a fork inherits; None where that is nothing.
        each: what it does not; None where that is nothing.
        prepare: called in the supervisor before a worker is forked that does it all, for what is
            the same for every job; whatever it leaves undone or cannot do, `apply` does.
    """

    name: str
    order: int
    guards: frozenset[str]
    once: Step | None
    each: Step | None
    prepare: Callable[[Context], None] = lambda _: None


def must_fail(what: str, action: Callable[[], object], refusals: tuple[int, ...]) -> None:
    """Try something forbidden and see it refused.

    Args:
        what: for the message.
        action: must be harmless if it succeeds.
        refusals: the errnos that only the layer gives; another one is no proof.

    Raises:
        Inactive: it succeeded, or failed for another reason.
    """
    try:
        action()
    except OSError as error:
        if error.errno in refusals:
            return
        name = errno.errorcode.get(error.errno or 0, str(error.errno))
        raise Inactive(f"{what} was not refused by this layer ({name})") from error
    raise Inactive(f"{what} was still possible")


def opened(path: Path, access: Access = "read") -> Opened:
    """Open a path for a later rule, without following a link at its end.

    Raises:
        OSError: it does not exist, or is a link (ELOOP).
    """
    if sys.platform != "linux":
        raise Inactive("only Linux can name a file without opening it")
    low = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    # Out of the way of the few descriptors that have a fixed number in a worker.
    fd = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, LOWEST_DESCRIPTOR)
    os.close(low)
    mode = os.fstat(fd).st_mode
    if stat.S_ISLNK(mode):
        os.close(fd)
        raise OSError(errno.ELOOP, f"{path} is a link")
    return Opened(fd, stat.S_ISDIR(mode), access)
