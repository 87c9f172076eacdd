"""Namespaces of its own: no network, no one else's processes, shared memory or identity.

The zygote enters them once, before it warms up: a network without an interface is the same
for every worker. Each job then gets a process namespace of its own, whose first process is
the supervisor: nothing inside can kill it, and when it ends the kernel kills everything
inside at once, a daemon that left its group and session too. With its supervisor a worker has a
user namespace, too, in which their tasks are counted apart from everybody else's.

By system call, not by bubblewrap: that gives the same namespaces, but starts a program per
sandbox, where a fork of a warm interpreter is wanted.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gradtool.lint.isolation import kernel
from gradtool.lint.isolation.layers.base import (
    Context,
    Inactive,
    Layer,
    Step,
    must_fail,
    only_tried,
)
from gradtool.records import Struct, field

KINDS = ("user", "pid", "net", "ipc")
ADDRESS_FOR_EXAMPLES = "192.0.2.1"  # RFC 5737: belongs to nobody


class Nest(Struct, frozen=True):
    """What the zygote could leave.

    Attributes:
        outside: inode of each namespace of the judge; empty when it still lives there.
        missing: why it still does, else "".
        own_user: whether it has a user namespace, and so can give one to each worker.
        pid_fd: its own process namespace, to come back to after each job; -1 when none.
    """

    outside: dict[str, int] = field(default_factory=dict)
    missing: str = ""
    own_user: bool = False
    pid_fd: int = -1


def inodes() -> dict[str, int]:
    """Which namespaces this process lives in."""
    return {kind: os.stat(f"/proc/self/ns/{kind}").st_ino for kind in KINDS}


def leave() -> Nest:
    """Leave the judge's namespaces, as far as the host allows.

    The process namespace holds only for children that are forked afterwards; see `settle`.
    """
    if sys.platform != "linux":
        return Nest(missing="needs Linux")
    flags = kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC
    user, group = os.geteuid(), os.getegid()
    try:
        outside = inodes()
        kernel.unshare(flags | kernel.CLONE_NEWUSER)
    except OSError as error:
        try:  # the superuser does not need the user namespace, where only that is forbidden
            kernel.unshare(flags)
        except OSError:
            return Nest(missing=f"this host does not allow them ({error.strerror})")
        return Nest(outside)
    try:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/gid_map", f"{group} {group} 1")
        _write("/proc/self/uid_map", f"{user} {user} 1")
    except OSError:  # we have left, but workers cannot have a user namespace of their own
        return Nest(outside)
    return Nest(outside, own_user=True)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def settle(nest: Nest) -> Nest:
    """Called in the first child after `leave`: remember the way back to its own namespace."""
    if not nest.outside:
        return nest
    fd = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    return Nest(nest.outside, nest.missing, nest.own_user, fd)


@contextmanager
def for_one_child(nest: Nest) -> Iterator[bool]:
    """The child forked inside is the first process of a namespace of its own, if it is True.

    The child must never leave the block: the way back is the parent's.
    """
    if nest.pid_fd < 0:
        yield False
        return
    kernel.unshare(kernel.CLONE_NEWPID)
    try:
        yield True
    finally:
        kernel.setns(nest.pid_fd, kernel.CLONE_NEWPID)


def apply(context: Context) -> str:
    """Take a user namespace; the others were entered before this process was forked."""
    if not context.namespaces:
        raise Inactive(context.namespaces_missing or "not entered")
    if not context.own_user:
        return "without a user namespace"
    kernel.unshare(kernel.CLONE_NEWUSER)
    return ""


def probe(context: Context) -> None:
    """Nothing is reachable, and no namespace is the judge's."""
    must_fail("reaching the network", _reach, (errno.ENETUNREACH,))
    inside = inodes()
    for kind, inode in (context.namespaces or {}).items():
        if inside[kind] == inode and (kind != "user" or context.own_user):
            raise Inactive(f"still in the {kind} namespace of the judge")


def probe_parent(context: Context) -> None:
    """What forked this process cannot be killed from here, and takes everything with it."""
    if os.getppid() != 1:
        raise Inactive("the supervisor is not the first process of its namespace")


def _reach() -> None:
    # Connecting a datagram socket looks up a route and sends nothing.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((ADDRESS_FOR_EXAMPLES, 9))


LAYER = Layer(
    "namespaces",
    10,
    frozenset({"network", "signals"}),
    Step(apply, probe),
    only_tried(probe_parent),
)
