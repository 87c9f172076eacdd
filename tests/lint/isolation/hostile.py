"""Entries that misbehave, for the tests: each bounded, and harmless where the sandbox failed.

What an entry is told comes as one frame of JSON, what it saw goes back as one frame of JSON.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from gradtool.lint.isolation import frames
from gradtool.lint.isolation.layers import all_layers
from gradtool.lint.isolation.layers.base import Context, Inactive
from gradtool.lint.isolation.limits import Limits

LONG = 30.0

RAW = {
    "x86_64": dict(
        keyctl=250, bpf=321, io_uring=425, pidfd=434, userfaultfd=323, perf=298, seccomp=317
    ),
    "aarch64": dict(
        keyctl=219, bpf=280, io_uring=425, pidfd=434, userfaultfd=282, perf=241, seccomp=277
    ),
}


def told(fd: int) -> Any:
    return json.loads(frames.read_frame(fd, 1 << 20))


def tell(fd: int, seen: object) -> None:
    frames.write_frame(fd, json.dumps(seen).encode())


def outcome(action: Callable[[], object]) -> str:
    """ "done", or the name of the errno or of the exception."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "OSError")
    except Exception as error:
        return type(error).__name__
    return "done"


def call(name: str, *arguments: int) -> int:
    """A function of the C library; raises OSError when it returns -1."""
    library = ctypes.CDLL(None, use_errno=True)
    result = int(getattr(library, name)(*(ctypes.c_long(value) for value in arguments)))
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result


# --- well behaved


def echo(read_fd: int, write_fd: int) -> None:
    frames.write_frame(write_fd, frames.read_frame(read_fd, 1 << 28))


def ordinary(read_fd: int, write_fd: int) -> None:
    """What a submission does all the time."""
    path = told(read_fd)
    numpy = importlib.import_module("numpy")
    decimal = importlib.import_module("decimal")
    random = numpy.random.default_rng(1).normal(size=(50, 50))
    inverse = numpy.linalg.inv(random)
    thread_ran: list[int] = []
    thread = threading.Thread(target=thread_ran.append, args=(1,))
    thread.start()
    thread.join()
    with open(os.devnull, "w") as nowhere:
        print("quiet", file=nowhere)
    print("a line")
    tell(
        write_fd,
        {
            "inverse": bool(numpy.allclose(random @ inverse, numpy.eye(50))),
            "fft": float(numpy.fft.fft(numpy.ones(4))[0].real),
            "decimal": str(decimal.Decimal("1.5") * 2),
            "source": Path(path).read_text(),
            "listed": sorted(os.listdir(os.path.dirname(path))),
            "thread": thread_ran,
            "hash": hash("gradient"),
            "environment": dict(os.environ),
            "stdin": sys.stdin.read(),
            "cpus": (os.cpu_count() or 0) > 0,
        },
    )


def import_others(read_fd: int, write_fd: int) -> None:
    names = told(read_fd)
    tell(write_fd, {name: outcome(partial(importlib.import_module, name)) for name in names})


# --- takes too much


def spin(read_fd: int, write_fd: int) -> None:
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        pass


def spin_on(read_fd: int, write_fd: int) -> None:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    spin(read_fd, write_fd)


def sleep(read_fd: int, write_fd: int) -> None:
    time.sleep(LONG)


def recurse(read_fd: int, write_fd: int) -> None:
    recurse(read_fd, write_fd)


def recurse_without_limit(read_fd: int, write_fd: int) -> None:
    sys.setrecursionlimit(10**6)

    def deeper(values: list[int]) -> list[int]:
        return sorted(values, key=lambda value: len(deeper(values)))

    deeper([1])


def eat_memory(read_fd: int, write_fd: int) -> None:
    held = [bytearray(16 << 20) for _ in range(16)]
    tell(write_fd, len(held))


def fork_bomb(read_fd: int, write_fd: int) -> None:
    """At most fifty children, each asleep; tells how many there were."""
    born = 0
    for _ in range(50):
        try:
            child = os.fork()
        except OSError:
            break
        if child == 0:
            time.sleep(LONG)
            os._exit(0)
        born += 1
    tell(write_fd, born)


def thread_bomb(read_fd: int, write_fd: int) -> None:
    started = 0
    try:
        for _ in range(100):
            threading.Thread(target=time.sleep, args=(LONG,), daemon=True).start()
            started += 1
    except RuntimeError:
        pass
    tell(write_fd, started)


def flood(read_fd: int, write_fd: int) -> None:
    block = b"x" * 65536
    for place in range(600):
        os.write(1 + place % 2, block)
    tell(write_fd, "flooded")


# --- leaves something behind


def _daemon() -> bool:
    """Fork twice with a new session in between, as daemons do; the daemon holds every pipe."""
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(LONG)
        os._exit(0)
    os.waitpid(child, 0)
    return True


def leave_daemon(read_fd: int, write_fd: int) -> None:
    tell(write_fd, outcome(_daemon))


def leave_daemon_and_crash(read_fd: int, write_fd: int) -> None:
    outcome(_daemon)
    os.kill(os.getpid(), signal.SIGSEGV)


# --- ends oddly


def exit_at_once(read_fd: int, write_fd: int) -> None:
    os._exit(0)


def exit_imitating(read_fd: int, write_fd: int) -> None:
    os._exit(told(read_fd))


def kill_itself(read_fd: int, write_fd: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def raise_error(read_fd: int, write_fd: int) -> None:
    raise ValueError("a text of the submission")


def announce_too_much(read_fd: int, write_fd: int) -> None:
    os.write(write_fd, (1 << 62).to_bytes(8, "little"))
    time.sleep(LONG)


def stop_in_a_frame(read_fd: int, write_fd: int) -> None:
    os.write(write_fd, (100).to_bytes(8, "little") + b"only this")


def never_answer(read_fd: int, write_fd: int) -> None:
    time.sleep(LONG)


# --- reaches out


def make_shared() -> None:
    path = f"/dev/shm/gradtool-{time.monotonic_ns()}"
    with open(path, "x"):
        os.unlink(path)


def change_files(read_fd: int, write_fd: int) -> None:
    folder = told(read_fd)
    file = os.path.join(folder, "kept.txt")
    new = os.path.join(folder, "new")
    tell(
        write_fd,
        {
            "overwrite": outcome(lambda: open(file, "w").close()),
            "append": outcome(lambda: open(file, "a").close()),
            "truncate": outcome(lambda: os.truncate(file, 0)),
            "create": outcome(lambda: open(new, "w").close()),
            "rename": outcome(lambda: os.rename(file, new)),
            "link": outcome(lambda: os.link(file, new)),
            "symlink": outcome(lambda: os.symlink(file, new)),
            "mkdir": outcome(lambda: os.mkdir(new)),
            "chmod": outcome(lambda: os.chmod(file, 0o777)),
            "utime": outcome(lambda: os.utime(file, (0, 0))),
            "fifo": outcome(lambda: os.mkfifo(new)),
            "delete": outcome(lambda: os.unlink(file)),
            "shared memory": outcome(make_shared),
        },
    )


def read_one(path: str) -> None:
    with open(path, "rb") as file:
        file.read(1)


def read_files(read_fd: int, write_fd: int) -> None:
    paths = told(read_fd)
    seen = {path: outcome(partial(read_one, path)) for path in paths}
    tell(write_fd, seen)


def read_own_environment(read_fd: int, write_fd: int) -> None:
    secrets = told(read_fd)
    found = dict(os.environ)
    try:
        raw = Path("/proc/self/environ").read_text()
    except OSError:
        raw = ""
    tell(write_fd, [secret for secret in secrets if secret in raw or secret in repr(found)])


def use_network(read_fd: int, write_fd: int) -> None:
    port, path, name = told(read_fd)

    def tcp() -> None:
        with socket.create_connection(("127.0.0.1", port), 2) as sock:
            sock.sendall(b"x")

    def udp() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", ("127.0.0.1", port))

    def unix() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)

    def abstract() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(name)

    def listen() -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.listen()

    actions = {"tcp": tcp, "udp": udp, "unix": unix, "abstract": abstract, "listen": listen}
    tell(write_fd, {name: outcome(action) for name, action in actions.items()})


def reach_processes(read_fd: int, write_fd: int) -> None:
    """Signal 0 only asks; a tracer lets go when it ends."""
    judge = told(read_fd)
    parent = os.getppid()
    seize, vm_readv_nothing = 0x4206, (0, 0, 0, 0, 0)
    tell(
        write_fd,
        {
            "judge": outcome(lambda: os.kill(judge, 0)),
            "parent": outcome(lambda: os.kill(parent, 0)),
            "own group": outcome(lambda: os.kill(0, 0)),
            "all": outcome(lambda: os.kill(-1, 0)),
            "trace parent": outcome(lambda: call("ptrace", seize, parent, 0, 0)),
            "trace judge": outcome(lambda: call("ptrace", seize, judge, 0, 0)),
            "read judge": outcome(lambda: call("process_vm_readv", judge, *vm_readv_nothing)),
            "memory": outcome(lambda: open(f"/proc/{judge}/mem", "rb").close()),
            "environ": outcome(lambda: open(f"/proc/{judge}/environ", "rb").close()),
            "parent memory": outcome(lambda: open(f"/proc/{parent}/mem", "rb").close()),
            "program": outcome(lambda: os.execv("/nonexistent/program", ["program"])),
            "queue": outcome(lambda: call("msgget", 0, 0o1000)),
            "shared": outcome(lambda: call("shmget", 0, 4096, 0o1000)),
            "nap": outcome(lambda: call("setpriority", 0, parent, 0)),
        },
    )


def raise_limits(read_fd: int, write_fd: int) -> None:
    kinds = ("AS", "CPU", "FSIZE", "NPROC", "NOFILE", "CORE")
    seen: dict[str, str] = {}
    for kind in kinds:
        number = getattr(resource, f"RLIMIT_{kind}")
        hard = resource.getrlimit(number)[1]
        more = (hard + 1, hard + 1)
        seen[kind] = outcome(partial(resource.setrlimit, number, more))
    tell(write_fd, seen)


def leave_sandbox(read_fd: int, write_fd: int) -> None:
    """Undo or widen what holds it; with these arguments each fails otherwise too."""
    number = RAW[os.uname().machine]
    tell(
        write_fd,
        {
            "unshare": outcome(lambda: call("unshare", 0x10000000)),
            "setns": outcome(lambda: call("setns", 0, 0)),
            "mount": outcome(lambda: call("mount", 0, 0, 0, 0, 0)),
            "chroot": outcome(lambda: os.chroot("/")),
            "setuid": outcome(lambda: os.setuid(0 if os.getuid() else 65534)),
            "prctl": outcome(lambda: call("prctl", 1, 0, 0, 0, 0)),
            "keyctl": outcome(lambda: call("syscall", number["keyctl"], 0, -3, 0)),
            "bpf": outcome(lambda: call("syscall", number["bpf"], 0, 0, 0)),
            "io_uring": outcome(lambda: call("syscall", number["io_uring"], 1, 0)),
            "pidfd": outcome(lambda: call("syscall", number["pidfd"], 1, 0)),
            "userfaultfd": outcome(lambda: call("syscall", number["userfaultfd"], 0)),
            "perf": outcome(lambda: call("syscall", number["perf"], 0, 0, -1, -1, 0)),
            "memfd": outcome(lambda: call("memfd_create", 0, 0)),
        },
    )


def find_descriptors(read_fd: int, write_fd: int) -> None:
    found = [fd for fd in range(1024) if outcome(partial(os.fstat, fd)) == "done"]
    tell(write_fd, {"open": found, "pipes": [read_fd, write_fd]})


def stop_parent_and_spin(read_fd: int, write_fd: int) -> None:
    tell(write_fd, outcome(lambda: os.kill(os.getppid(), signal.SIGSTOP)))
    time.sleep(LONG)


# --- looks at the layers from inside


def probe_all(read_fd: int, write_fd: int) -> None:
    """What each layer's probe says in this worker, "" for in force."""
    namespaces = told(read_fd)
    context = Context(Limits(memory_bytes=1 << 26), namespaces=namespaces, own_user=True)
    seen: dict[str, str] = {}
    for layer in all_layers():
        for part, step in (("once", layer.once), ("each", layer.each)):
            if step is None:
                continue
            try:
                step.probe(context)
            except Inactive as reason:
                seen[f"{layer.name} {part}"] = str(reason)
            else:
                seen[f"{layer.name} {part}"] = ""
    tell(write_fd, seen)


def tell_hash(read_fd: int, write_fd: int) -> None:
    tell(write_fd, [hash("gradient"), os.getpid()])


def leave_daemon_and_stay(read_fd: int, write_fd: int) -> None:
    tell(write_fd, outcome(_daemon))
    time.sleep(LONG)


# --- turns on the process that forked it, which forks the next one too

memory: list[str] = []


def turn_on_parent(read_fd: int, write_fd: int) -> None:
    """All by which a process could get a hold on its parent, or what only the parent needs."""
    parent = os.getppid()
    number = RAW[os.uname().machine]
    memory.append("was here")
    signals = (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGTERM, signal.SIGSEGV)
    seen = {f"signal {int(n)}": outcome(partial(os.kill, parent, n)) for n in signals}
    dumpable, no_core, tracer, seize, attach = 4, 0, 0x59616D61, 0x4206, 16
    vector = (ctypes.c_void_p * 2)(id(memory), 8)
    address = ctypes.addressof(vector)
    seen |= {
        "thread": outcome(lambda: call("tgkill", parent, parent, signal.SIGKILL)),
        "seize": outcome(lambda: call("ptrace", seize, parent, 0, 0)),
        "attach": outcome(lambda: call("ptrace", attach, parent, 0, 0)),
        "read": outcome(lambda: call("process_vm_readv", parent, address, 1, address, 1, 0)),
        "write": outcome(lambda: call("process_vm_writev", parent, address, 1, address, 1, 0)),
        "memory": outcome(lambda: open(f"/proc/{parent}/mem", "r+b").close()),
        "descriptors": outcome(lambda: os.listdir(f"/proc/{parent}/fd")),
        "pidfd": outcome(lambda: call("syscall", number["pidfd"], parent, 0)),
        "limits": outcome(lambda: resource.prlimit(parent, resource.RLIMIT_NPROC, (1, 1))),
        "priority": outcome(lambda: os.setpriority(os.PRIO_PROCESS, parent, 19)),
        "filter": outcome(lambda: call("prctl", 22, 2, 0, 0, 0)),
        "seccomp": outcome(lambda: call("syscall", number["seccomp"], 1, 1, 0)),
        "dumpable": outcome(lambda: call("prctl", dumpable, 1, 0, 0, 0)),
        "undumpable": outcome(lambda: call("prctl", dumpable, no_core, 0, 0, 0)),
        "tracer": outcome(lambda: call("prctl", tracer, -1, 0, 0, 0)),
        "outlive": outcome(lambda: call("prctl", 1, 0, 0, 0, 0)),
        "session": outcome(os.setsid),
        "group": outcome(lambda: os.setpgid(0, parent)),
        "fork": outcome(lambda: os._exit(0) if os.fork() == 0 else None),
        "receive": outcome(lambda: call("recvmsg", read_fd, 0, 0)),
        "join": outcome(lambda: call("setns", read_fd, 0)),
    }
    tell(write_fd, seen)


def tell_memory(read_fd: int, write_fd: int) -> None:
    tell(write_fd, [memory, os.getppid(), sorted(map(int, signal.sigpending()))])


def keep_data(data: bytes) -> None:
    memory.append(data.decode())


def hold_threads(read_fd: int, write_fd: int) -> None:
    """As many as there may be, and none of them ends by itself."""
    try:
        while True:
            threading.Thread(target=time.sleep, args=(LONG,), daemon=True).start()
    except RuntimeError:
        os._exit(0)
