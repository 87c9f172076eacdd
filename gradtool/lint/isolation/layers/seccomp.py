"""seccomp: an allow-list of system calls, which Python with NumPy gets by with.

By hand rather than by a package: pyseccomp's only releases are of 2021, it needs libseccomp on
the host, takes 30 ms to import, and looks the library up by starting other programs.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

from gradtool.lint.isolation import kernel
from gradtool.lint.isolation.bpf import Bits, Instruction, IsNull, OneOf, Rule, assemble
from gradtool.lint.isolation.layers import landlock
from gradtool.lint.isolation.layers.base import Context, Inactive, Layer, Step, must_fail
from gradtool.lint.isolation.syscalls import ARCHITECTURES, number

_SOME_PID = bytes.fromhex("a5c3965a")  # larger than any number of a process

SET_MODE_FILTER = 1
FLAG_ALL_THREADS = 1

# Harmless whatever the arguments: memory, waiting, time, own signals, reading what Landlock
# lets be opened, and questions about oneself. A path can be looked at (stat), not opened.
ALWAYS = tuple(
    """
    brk madvise membarrier mincore mmap mprotect mremap msync munmap
    close close_range dup dup2 dup3 fadvise64 lseek pipe pipe2 pread64 preadv pwrite64 read readv
    write writev access chdir faccessat faccessat2 fchdir fstat fstatfs getcwd getdents64 lstat
    newfstatat readlink readlinkat stat statfs statx umask
    epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd2 poll ppoll pselect6 select
    alarm getitimer pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn
    rt_sigsuspend rt_sigtimedwait setitimer sigaltstack exit exit_group wait4 waitid
    arch_prctl futex getcpu rseq sched_getaffinity sched_getparam sched_getscheduler sched_yield
    set_robust_list set_tid_address
    clock_getres clock_gettime clock_nanosleep getrusage gettimeofday nanosleep time times
    capget getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority getrandom
    getresgid getresuid getrlimit getsid gettid getuid sysinfo uname
""".split()  # noqa: SIM905 - a table to read
)

CLONE_THREAD = 0x00010000
CLONE_NEW_ANYTHING = 0x7E020080
OPEN_FOR_WRITING = 0o1 | 0o2 | 0o100 | 0o1000  # WRONLY, RDWR, CREAT, TRUNC: alike on both
# Get and set flags, duplicate, lock. Not: signals on activity, leases, larger pipes.
FCNTL_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 1030)
# FIONREAD, TCGETS (is it a terminal?), TIOCGWINSZ, FIOCLEX, FIONCLEX, FIONBIO.
IOCTL_REQUESTS = (0x541B, 0x5401, 0x5413, 0x5451, 0x5450, 0x5421)

_OF_ONE_PROCESS = (kernel.PR_SET_PDEATHSIG, kernel.PR_GET_PDEATHSIG, kernel.PR_SET_NO_NEW_PRIVS)


def rules(pid: int, *, threads: bool, writes_by_path: bool) -> dict[str, Rule]:
    """What each allowed call is allowed with; a call that is not named is refused.

    Args:
        pid: of the worker, the only process that it may send signals to.
        threads: whether it may start threads. It may never start a process.
        writes_by_path: whether another layer decides which files may be opened for writing.
    """
    reading = () if writes_by_path else (OPEN_FOR_WRITING,)
    return {
        **{name: Rule() for name in ALWAYS},
        "open": Rule(tuple(Bits(1, forbidden=flags) for flags in reading)),
        "openat": Rule(tuple(Bits(2, forbidden=flags) for flags in reading)),
        "fcntl": Rule((OneOf(1, FCNTL_COMMANDS),)),
        "ioctl": Rule((OneOf(1, IOCTL_REQUESTS),)),
        "kill": Rule((OneOf(0, (pid,)),)),
        "tgkill": Rule((OneOf(0, (pid,)),)),
        "prctl": Rule((OneOf(0, (kernel.PR_SET_NAME, kernel.PR_GET_NAME)),)),
        # Asking for a limit is a call without a new one; another process's are none of ours.
        "prlimit64": Rule((OneOf(0, (0, pid)), IsNull(2))),
        "clone": Rule((Bits(0, CLONE_THREAD, CLONE_NEW_ANYTHING),), never=not threads),
        # Its flags are behind a pointer, out of a filter's sight: told that the kernel does
        # not have it, the C library falls back to clone.
        "clone3": Rule(error=errno.ENOSYS, never=True),
    }


def rules_before_fork(*, threads: bool, writes_by_path: bool) -> dict[str, Rule]:
    """What the process is allowed that forks workers: as they are, and what that takes.

    It takes descriptors, forks, hears of ends, and kills; its children set what is of one process
    alone.
    """
    options = (*_OF_ONE_PROCESS, kernel.PR_SET_NAME, kernel.PR_GET_NAME)
    return {
        **rules(0, threads=threads, writes_by_path=writes_by_path),
        "clone": Rule((Bits(0, forbidden=CLONE_NEW_ANYTHING),)),
        "fork": Rule(),
        "kill": Rule(),
        "pidfd_open": Rule(),
        "prctl": Rule((OneOf(0, options),)),
        "prlimit64": Rule(),
        "recvmsg": Rule(),
        "seccomp": Rule((OneOf(0, (SET_MODE_FILTER,)), OneOf(1, (FLAG_ALL_THREADS,)))),
        "setsid": Rule(),
        "tgkill": Rule(),
    }


def rules_after_fork(pid: int, *, threads: bool) -> dict[str, Rule]:
    """What a worker is not allowed any more of that; all other calls are let through.

    Both filters are asked, and the stricter answer counts: together they decide as `rules`.
    """
    wanted = rules(pid, threads=threads, writes_by_path=True)
    found = rules_before_fork(threads=threads, writes_by_path=True)
    return {
        name: wanted.get(name, Rule(never=True))
        for name, rule in found.items()
        if wanted.get(name) != rule
    }


def apply(context: Context) -> str:
    """Install the filter of a process that forks workers, for every thread of this process."""
    if sys.platform != "linux":
        raise Inactive("needs Linux")
    machine = kernel.machine()
    if machine not in ARCHITECTURES:
        raise Inactive(f"unknown architecture {machine}")
    # Before version 3 Landlock lets a file be cut short, so writing is refused here too.
    by_path = context.is_active(landlock.LAYER.name) and landlock.version() >= 3
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    _before_fork(machine, context.limits.processes > 1, by_path).install()
    return ""


def apply_to_one(context: Context) -> str:
    """Install the filter of a worker over it."""
    _after_fork(kernel.machine(), context.limits.processes > 1).install_for_this()
    return ""


def ready_for_one(context: Context) -> tuple[Callable[[], object], ...]:
    """The same in a fork."""
    return (_after_fork(kernel.machine(), context.limits.processes > 1).install_for_this,)


class _Ready:
    """A program as the kernel takes it; what is made of ctypes is made before a fork.

    Attributes:
        code: the program itself.
        places: where `_SOME_PID` stands in it.
    """

    def __init__(self, steps: Sequence[Instruction], machine: str) -> None:
        program = b"".join(struct.pack("=HBBI", *step) for step in steps)
        some = int.from_bytes(_SOME_PID, sys.byteorder)
        self.places = [8 * at + 4 for at, (*_, constant) in enumerate(steps) if constant == some]
        self.code = ctypes.create_string_buffer(program)
        self._head = ctypes.create_string_buffer(
            struct.pack("HxxxxxxP", len(steps), ctypes.addressof(self.code))
        )
        self._call = kernel.prepared(
            "seccomp",
            number("seccomp", machine),
            SET_MODE_FILTER,
            FLAG_ALL_THREADS,
            ctypes.addressof(self._head),
        )

    def install(self) -> None:
        """For every thread of this process; it must have given up new privileges."""
        self._call()

    def install_for_this(self) -> None:
        """The same, with the number of this process in it."""
        process = os.getpid()
        for place in self.places:
            struct.pack_into("=I", self.code, place, process)
        self._call()


def prepare(context: Context) -> None:
    """Assemble the filters, but for the number of the worker."""
    if sys.platform == "linux" and kernel.machine() in ARCHITECTURES:
        machine, threads = kernel.machine(), context.limits.processes > 1
        _before_fork(machine, threads, landlock.version() >= 3)
        _after_fork(machine, threads)


@lru_cache(maxsize=8)
def _before_fork(machine: str, threads: bool, by_path: bool) -> _Ready:
    wanted = rules_before_fork(threads=threads, writes_by_path=by_path)
    return _Ready(assemble(wanted, machine), machine)


@lru_cache(maxsize=8)
def _after_fork(machine: str, threads: bool) -> _Ready:
    """The filter for a worker whose number is `_SOME_PID`."""
    some = int.from_bytes(_SOME_PID, sys.byteorder)
    wanted = rules_after_fork(some, threads=threads)
    return _Ready(assemble(wanted, machine, others=True), machine)


def probe(context: Context) -> None:
    """Sockets, programs, other processes' memory: all refused."""
    refused = (errno.EPERM,)
    must_fail("opening a socket", _socket, refused)
    must_fail("starting a program", partial(os.execv, "/nonexistent", ["none"]), refused)
    for name in ("ptrace", "process_vm_readv", "io_uring_setup"):
        # With these arguments each fails, otherwise, as a bad request.
        call = partial(kernel.syscall, name, number(name, kernel.machine()), 0x7FFF, 0, 0, 0)
        must_fail(name, call, refused)


def probe_one(context: Context) -> None:
    """Processes and signals: refused, too."""
    refused = (errno.EPERM,)
    must_fail("starting a process", _fork, refused)
    must_fail("signalling the parent", partial(os.kill, os.getppid(), 0), refused)


def _socket() -> None:
    socket.socket(socket.AF_UNIX).close()


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    os.waitpid(child, 0)


LAYER = Layer(
    "seccomp",
    50,
    frozenset({"network", "processes", "signals", "files-write"}),
    Step(apply, probe),
    Step(apply_to_one, probe_one, ready_for_one),
    prepare,
)
