"""System calls of Linux that Python has no name for, by ctypes.

Only numbers that are the same on every architecture since Linux 5.1, or that stand in
`syscalls`, are used; a failure is an OSError with the errno, as anywhere in `os`.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache, partial

PR_SET_PDEATHSIG = 1
PR_GET_PDEATHSIG = 2
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_GET_NAME = 16
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

MOST_ARGUMENTS = 6

CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000


@cache
def libc() -> ctypes.CDLL:
    """The C library of this process, with errno kept."""
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    library.syscall.argtypes = [ctypes.c_long] * (1 + MOST_ARGUMENTS)
    return library


def checked(result: int, what: str) -> int:
    """The result of a C call, or its errno as an OSError that names the call."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(what: str, number: int, *arguments: int) -> int:
    """Call by number; every argument is a machine word (an address for a pointer).

    Raises:
        OSError: the call failed.
    """
    return prepared(what, number, *arguments)()


def prepared(what: str, number: int, *arguments: int) -> Callable[[], int]:
    """That call, to be made later; it raises the same."""
    missing = (0,) * (MOST_ARGUMENTS - len(arguments))
    call = partial(libc().syscall, number, *arguments, *missing)

    def made() -> int:
        return checked(int(call()), what)

    return made


def prctl(option: int, *arguments: int) -> int:
    """`prctl(2)` with the missing arguments zero, as the newer options demand."""
    words = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    return checked(int(libc().prctl(ctypes.c_int(option), *words)), f"prctl({option})")


def unshare(flags: int) -> None:
    """`unshare(2)`, which Python offers only from 3.12."""
    checked(int(libc().unshare(ctypes.c_int(flags))), "unshare")


def setns(fd: int, kind: int) -> None:
    """`setns(2)`, which Python offers only from 3.12."""
    checked(int(libc().setns(ctypes.c_int(fd), ctypes.c_int(kind))), "setns")


@cache
def machine() -> str:
    """The architecture under one name: "x86_64", "aarch64", or what the system says."""
    name = os.uname().machine.lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)
