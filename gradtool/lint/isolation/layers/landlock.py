"""Landlock: the worker reads the interpreter, the libraries and its submission, nothing else.

By hand rather than by a package: the ones on the index are first or development releases,
cost 25 to 36 ms to import (ctypes, enum and dataclasses; this module adds under one), and the
interface is three system calls. Structures: include/uapi/linux/landlock.h of Linux.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
import sys
from functools import partial
from pathlib import Path

from gradtool.lint.isolation import kernel
from gradtool.lint.isolation.layers.base import (
    LOWEST_DESCRIPTOR,
    Context,
    Inactive,
    Layer,
    Opened,
    Step,
    must_fail,
    only_tried,
    opened,
)

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
CREATE_VERSION = 1
RULE_PATH_BENEATH = 1

WRITE_FILE, READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
TRUNCATE = 1 << 14
# The first 13 rights came together; each later interface version added the next one.
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
TCP_BIND_AND_CONNECT = 0b11
SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11

PLACES_TO_WRITE = ("/tmp", "/dev/shm", "/var/tmp")


def version() -> int:
    """The version of the interface that this kernel speaks; 0 when Landlock is missing."""
    if sys.platform != "linux":
        return 0
    try:
        return kernel.syscall("landlock", CREATE_RULESET, 0, 0, CREATE_VERSION)
    except OSError:
        return 0


def attributes(abi: int) -> bytes:
    """`struct landlock_ruleset_attr` that handles all that version `abi` knows of here."""
    rights = (1 << FILE_RIGHTS[min(abi, max(FILE_RIGHTS))]) - 1
    if abi < 4:
        return struct.pack("=Q", rights)
    if abi < 6:
        return struct.pack("=QQ", rights, TCP_BIND_AND_CONNECT)
    return struct.pack("=QQQ", rights, TCP_BIND_AND_CONNECT, SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS)


def apply(context: Context) -> str:
    """Restrict this process and its children for ever."""
    abi = version()
    if abi == 0:
        raise Inactive("this kernel has no Landlock, or it is not enabled")
    ready = _ready.get(_key(context))
    ruleset, withheld = ready or _ruleset(context, abi)
    try:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.syscall("landlock_restrict_self", RESTRICT_SELF, ruleset, 0)
    finally:
        if ready is None:
            os.close(ruleset)
    return "; ".join(filter(None, [_remark(abi), *withheld]))


_ready: dict[tuple[object, ...], tuple[int, tuple[str, ...]]] = {}
"""Rulesets of earlier jobs with the same folders, and what was withheld in them."""

_MOST_READY = 8


def prepare(context: Context) -> None:
    """Make the ruleset, unless the last jobs had the same folders: it has hundreds of rules."""
    abi = version()
    if abi == 0 or not context.readable:
        return
    key = _key(context)
    if None in key or key in _ready:
        return
    if len(_ready) >= _MOST_READY:
        for ruleset, _ in _ready.values():
            os.close(ruleset)
        _ready.clear()
    low, withheld = _ruleset(context, abi)
    if withheld:
        os.close(low)
    else:
        # Out of the way of the few descriptors that have a fixed number in a worker.
        _ready[key] = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, LOWEST_DESCRIPTOR), ()
        os.close(low)


def _key(context: Context) -> tuple[object, ...]:
    """Paths and the folders themselves: one of the same name may be another one."""
    found: list[object] = []
    for path in context.readable:
        try:
            status = os.lstat(path)
        except OSError:
            return (None,)
        whole = status.st_mode & ~0o7777 == stat.S_IFDIR
        found.append((path, status.st_dev, status.st_ino) if whole else None)
    return tuple(found)


def _ruleset(context: Context, abi: int) -> tuple[int, tuple[str, ...]]:
    """A ruleset that is not in force yet, and what it withholds of what was to be readable."""
    buffer = ctypes.create_string_buffer(attributes(abi))
    size = len(buffer) - 1  # the buffer ends with a zero byte of its own
    ruleset = kernel.syscall(
        "landlock_create_ruleset", CREATE_RULESET, ctypes.addressof(buffer), size, 0
    )
    try:
        for place in context.system:
            _allow(ruleset, place, abi)
        withheld = [reason for path in context.readable if (reason := _grant(ruleset, path, abi))]
    except BaseException:
        os.close(ruleset)
        raise
    return ruleset, tuple(withheld)


def _grant(ruleset: int, path: Path, abi: int) -> str:
    """Let a path of the submission be read, or say why it stays closed.

    A path that is a link or is gone must not cost the layer: it is the submission's doing.
    """
    try:
        place = opened(path)
    except OSError as error:
        return f"not granted: {error.strerror or error}"
    try:
        _allow(ruleset, place, abi)
    finally:
        os.close(place.fd)
    return ""


def _allow(ruleset: int, place: Opened, abi: int) -> None:
    rights = READ_DIR if place.folder else 0
    if place.access != "list":
        rights |= READ_FILE
    if place.access == "write":
        rights |= WRITE_FILE | (TRUNCATE if abi >= 3 else 0)
    rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, place.fd))
    kernel.syscall(
        "landlock_add_rule", ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.addressof(rule), 0
    )


def _remark(abi: int) -> str:
    if abi < 4:
        return f"version {abi}: without rules for files cut short, TCP and signals"
    if abi < 6:
        return f"version {abi}: without scopes for signals and abstract sockets"
    return ""


def probe(context: Context) -> None:
    """The root folder cannot be listed, and no file can be made where anyone may make one.

    `access(2)` asks the ordinary permissions only, so what it grants and the open refuses was
    refused by Landlock. A file that could be made has no name and is gone when it is closed.
    """
    probe_root(context)
    for place in PLACES_TO_WRITE:
        if os.access(place, os.W_OK | os.X_OK):
            must_fail(f"making a file in {place}", partial(_nameless, place), (errno.EACCES,))
            return


def probe_root(context: Context) -> None:
    """The root folder cannot be listed: not here, whatever was in force before a fork."""
    must_fail("listing the root folder", lambda: os.listdir("/"), (errno.EACCES,))


def _nameless(folder: str) -> None:
    if sys.platform == "linux":
        os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600))


LAYER = Layer(
    "landlock",
    30,
    frozenset({"files-read", "files-write"}),
    Step(apply, probe),
    only_tried(probe_root),
    prepare,
)
