"""The filter, run by an interpreter of our own, decides as its rules say, on both machines."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from gradtool.lint.isolation import kernel
from gradtool.lint.isolation.bpf import Instruction, Rule, assemble
from gradtool.lint.isolation.layers.seccomp import (
    ALWAYS,
    rules,
    rules_after_fork,
    rules_before_fork,
)
from gradtool.lint.isolation.syscalls import ARCHITECTURES, NUMBERS, number

PID = 4711
MACHINES = sorted(ARCHITECTURES)
ALLOWED, KILLED = 0x7FFF0000, 0x80000000


def refused(error: int) -> int:
    return 0x00050000 | error


def decide(program: list[Instruction], audit: int, call: int, *arguments: int) -> int:
    """What the program returns, by the definition of classic BPF (McCanne, Jacobson 1993)."""
    words = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = call.to_bytes(4, "little") + audit.to_bytes(4, "little") + bytes(8)
    data += b"".join((word & (2**64 - 1)).to_bytes(8, "little") for word in words)
    accumulator = place = 0
    while True:
        code, if_true, if_false, constant = program[place]
        place += 1
        match code:
            case 0x20:
                accumulator = int.from_bytes(data[constant : constant + 4], "little")
            case 0x54:
                accumulator &= constant
            case 0x06:
                return constant
            case 0x15:
                place += if_true if accumulator == constant else if_false
            case 0x25:
                place += if_true if accumulator > constant else if_false
            case 0x35:
                place += if_true if accumulator >= constant else if_false
            case 0x45:
                place += if_true if accumulator & constant else if_false
            case _:
                raise AssertionError(f"instruction {code:#x}")


def ask(
    machine: str, name: str, *arguments: int, threads: bool = True, by_path: bool = True
) -> int:
    program = assemble(rules(PID, threads=threads, writes_by_path=by_path), machine)
    return decide(program, ARCHITECTURES[machine].audit, number(name, machine), *arguments)


@pytest.mark.parametrize("machine", MACHINES)
def test_every_number_is_decided_as_the_rules_name_it(machine: str) -> None:
    wanted = rules(PID, threads=True, writes_by_path=True)
    program = assemble(wanted, machine)
    column = ARCHITECTURES[machine].column
    free = {NUMBERS[name][column] for name, rule in wanted.items() if rule == Rule()}
    conditional = {NUMBERS[name][column] for name, rule in wanted.items() if rule != Rule()}
    for call in set(range(1000)) - conditional:
        expected = ALLOWED if call in free else refused(errno.EPERM)
        assert decide(program, ARCHITECTURES[machine].audit, call) == expected


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("threads", [True, False])
@pytest.mark.parametrize("by_path", [True, False])
def test_two_filters_decide_as_the_rules_do(machine: str, threads: bool, by_path: bool) -> None:
    """The kernel asks every filter and takes the strictest answer (seccomp(2))."""
    whole = assemble(rules(PID, threads=threads, writes_by_path=by_path), machine)
    before = assemble(rules_before_fork(threads=threads, writes_by_path=by_path), machine)
    after = assemble(rules_after_fork(PID, threads=threads), machine, others=True)
    audit = ARCHITECTURES[machine].audit
    interesting = [0, 1, 2, 3, 4, 15, 16, 17, 22, 38, 39, PID, PID + 1, -1, -PID, 1 << 32]
    interesting += [0x3D0F00, 0x1200011, 0x10000000, os.O_WRONLY, os.O_CREAT, 1030, 0x5401]
    order = [KILLED, refused(errno.EPERM), refused(errno.ENOSYS), ALLOWED]
    for call in range(512):
        for first in interesting:
            for second, third in ((0, 0), (1, 0), (first, 0), (0, first), (1030, 1 << 40)):
                arguments = (first, second, third)
                one = decide(before, audit, call, *arguments)
                other = decide(after, audit, call, *arguments)
                told = min(one, other, key=order.index)
                assert told == decide(whole, audit, call, *arguments), (call, arguments)


@pytest.mark.parametrize("machine", MACHINES)
def test_jumps_stay_inside_and_the_kernel_takes_the_length(machine: str) -> None:
    program = assemble(rules(PID, threads=True, writes_by_path=False), machine)
    assert len(program) < 4096
    for place, (code, if_true, if_false, _) in enumerate(program):
        assert 0 <= if_true <= 255
        assert 0 <= if_false <= 255
        assert place + 1 + max(if_true, if_false) < len(program) or code == 0x06


@pytest.mark.parametrize("machine", MACHINES)
def test_another_architecture_kills(machine: str) -> None:
    program = assemble(rules(PID, threads=True, writes_by_path=True), machine)
    i386 = 0x40000003
    assert decide(program, i386, number("read", machine)) == KILLED


def test_x32_kills() -> None:
    program = assemble(rules(PID, threads=True, writes_by_path=True), "x86_64")
    assert decide(program, ARCHITECTURES["x86_64"].audit, 0x40000000) == KILLED


@pytest.mark.parametrize("machine", MACHINES)
def test_arguments_decide(machine: str) -> None:
    denied = refused(errno.EPERM)
    thread_flags = 0x3D0F00  # what pthread_create of glibc passes
    assert ask(machine, "clone", thread_flags) == ALLOWED
    assert ask(machine, "clone", thread_flags, threads=False) == denied
    assert ask(machine, "clone", 17) == denied  # fork: SIGCHLD
    assert ask(machine, "clone", thread_flags | 0x10000000) == denied  # a user namespace
    assert ask(machine, "clone", thread_flags | 1 << 32) == denied
    assert ask(machine, "clone3") == refused(errno.ENOSYS)
    assert ask(machine, "kill", PID, 9) == ALLOWED
    for other in (0, -1, 1, PID + 1, -PID):
        assert ask(machine, "kill", other, 9) == denied
        assert ask(machine, "tgkill", other, 1, 9) == denied
    assert ask(machine, "prlimit64", 0, 7, 0, 1) == ALLOWED
    assert ask(machine, "prlimit64", 0, 7, 1 << 40, 0) == denied
    assert ask(machine, "prlimit64", 0, 7, 8, 0) == denied
    assert ask(machine, "prlimit64", 1, 7, 0, 0) == denied
    assert ask(machine, "prctl", 15) == ALLOWED
    for option in (1, 4, 22, 24, 35, 36, 38):
        assert ask(machine, "prctl", option) == denied
    assert ask(machine, "fcntl", 3, 1030) == ALLOWED
    for command in (8, 10, 15, 1024, 1026, 1031):
        assert ask(machine, "fcntl", 3, command) == denied
    assert ask(machine, "ioctl", 0, 0x5401) == ALLOWED
    assert ask(machine, "ioctl", 0, 0x5412) == denied  # TIOCSTI types into a terminal


@pytest.mark.parametrize("machine", MACHINES)
def test_opening_to_write_needs_another_layer_that_decides(machine: str) -> None:
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_RDONLY | os.O_TRUNC):
        assert ask(machine, "openat", 0, 0, flags) == ALLOWED
        assert ask(machine, "openat", 0, 0, flags, by_path=False) == refused(errno.EPERM)
    assert ask(machine, "openat", 0, 0, os.O_RDONLY, by_path=False) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "name",
    ["socket", "execve", "ptrace", "process_vm_readv", "io_uring_setup", "seccomp", "capset"],
)
def test_what_must_never_be_allowed_is_not(machine: str, name: str) -> None:
    assert ask(machine, name) == refused(errno.EPERM)


def test_a_name_without_a_number_is_an_error() -> None:
    with pytest.raises(KeyError):
        assemble({"no_such_call": Rule()}, "x86_64")
    assert set(ALWAYS) <= set(NUMBERS)


def test_numbers_agree_with_this_machine() -> None:
    machine = kernel.machine()
    assert machine in ARCHITECTURES
    answers = {"getpid": os.getpid(), "getppid": os.getppid(), "getuid": os.getuid()}
    for name, answer in answers.items():
        assert kernel.syscall(name, number(name, machine)) == answer


def test_numbers_agree_with_the_headers_that_are_here() -> None:
    generic = Path("/usr/include/asm-generic/unistd.h")
    own = next(Path("/usr/include").glob("**/asm/unistd_64.h"), generic)
    for column, header in enumerate((own, generic)):
        text = header.read_text() if header.exists() and (column or own != generic) else ""
        found = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text))
        for name, numbers in NUMBERS.items():
            if name in found:
                assert numbers[column] == int(found[name]), (header, name)
