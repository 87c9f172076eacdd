"""No capability is left, none can be gained, and the worker dies with its supervisor."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import sys
from collections.abc import Callable
from functools import partial

from gradtool.lint.isolation import kernel
from gradtool.lint.isolation.layers.base import Context, Inactive, Layer, Step, must_fail
from gradtool.lint.isolation.syscalls import ARCHITECTURES, number

CAPABILITY_VERSION_3 = 0x20080522
PR_GET_NO_NEW_PRIVS = 39


def apply(context: Context) -> str:
    """Drop every capability and forbid new ones.

    The bounding set may stay: without new privileges a program that is started gets no more
    than was permitted before, which is nothing.
    """
    if sys.platform != "linux":
        raise Inactive("needs Linux")
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    _drop_all()
    return ""


def apply_to_one(context: Context) -> str:
    """Ask to be killed after the parent: a wish that a fork and new credentials forget.

    After the first process of a namespace the kernel kills all others unasked.
    """
    if sys.platform != "linux":
        raise Inactive("needs Linux")
    if not context.first:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    return ""


def ready_for_one(context: Context) -> tuple[Callable[[], object], ...]:
    """The same in a fork."""
    return () if context.first else (partial(apply_to_one, context),)


def _drop_all() -> None:
    machine = kernel.machine()
    if machine not in ARCHITECTURES:
        raise Inactive(f"unknown architecture {machine}")
    head = ctypes.create_string_buffer(struct.pack("=Ii", CAPABILITY_VERSION_3, 0))
    sets = ctypes.create_string_buffer(bytes(24))
    kernel.syscall(
        "capset", number("capset", machine), ctypes.addressof(head), ctypes.addressof(sets)
    )


def probe(context: Context) -> None:
    """The bounding set cannot be touched, and the kernel confirms the other."""
    must_fail("using a capability", _use_one, (errno.EPERM,))
    if kernel.prctl(PR_GET_NO_NEW_PRIVS) != 1:
        raise Inactive("new privileges can still be gained")


def probe_one(context: Context) -> None:
    """The kernel confirms the wish, or that the parent is the first process of a namespace."""
    if context.first:
        if os.getppid() != 1:
            raise Inactive("the supervisor is not the first process of its namespace")
        return
    wish = ctypes.c_int(0)
    kernel.prctl(kernel.PR_GET_PDEATHSIG, ctypes.addressof(wish))
    if wish.value != signal.SIGKILL:
        raise Inactive("the worker would outlive its supervisor")


def _use_one() -> None:
    # Dropping capability 0 from the bounding set needs CAP_SETPCAP, and is harmless.
    kernel.prctl(kernel.PR_CAPBSET_DROP, 0)


LAYER = Layer(
    "privileges",
    20,
    frozenset({"privileges"}),
    Step(apply, probe),
    Step(apply_to_one, probe_one, ready_for_one),
)
