"""Wrong submissions that reach for what is not theirs; each leaves a trace if it gets there."""

from __future__ import annotations

from pathlib import Path

from tests.lint.hostile.model import Case, inside, one, trying

TRACE = "/tmp/gradtool-hostile-trace"


def traces() -> list[Path]:
    """What submissions of the suite left behind, where nothing held them back."""
    return sorted(Path(TRACE).parent.glob(f"{Path(TRACE).name}*"))


_LEAVE = f"open({TRACE!r} + {{name!r}}, 'w').write('here')"


def _text(name: str, *lines: str) -> str:
    return trying(*lines, _LEAVE.format(name=f"-{name}"))


_LINES: dict[str, tuple[str, ...]] = {
    "writes": ("pass",),
    "writes_here": ("open('here.txt', 'w').write('x')",),
    "deletes": ("import os; os.remove(__file__)",),
    "reads_passwords": ("open('/etc/shadow').read()",),
    "reads_a_home": ("import os; os.listdir('/root'); os.listdir('/home')",),
    "reads_the_environment": ("open('/proc/1/environ').read()",),
    "lists_processes": (
        "import os; [open(f'/proc/{p}/cmdline').read() for p in os.listdir('/proc')]",
    ),
    "tcp": ("import socket; socket.create_connection(('127.0.0.1', 22), 1)",),
    "udp": (
        "import socket",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
    ),
    "unix_socket": (
        "import socket; socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')",
    ),
    "runs_a_program": ("import subprocess; subprocess.run(['/bin/true'], check=True)",),
    "execs": ("import os; os.execv('/bin/true', ['true'])",),
    "links": (f"import os; os.symlink('/etc/passwd', {TRACE + '-link'!r})",),
    "raises_limits": (
        "import resource",
        "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    ),
    "mounts": (
        "import ctypes",
        "assert ctypes.CDLL(None).mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0",
    ),
    "traces_its_parent": (
        "import ctypes, os",
        "assert ctypes.CDLL(None).ptrace(16, os.getppid(), None, None) == 0",
    ),
    "stops_its_parent": ("import os, signal; os.kill(os.getppid(), signal.SIGSTOP)",),
    "reads_its_parent": (
        "import ctypes, os",
        "place = (ctypes.c_void_p * 2)(id(dY), 8)",
        "at = ctypes.addressof(place)",
        "libc = ctypes.CDLL(None)",
        "assert libc.process_vm_readv(os.getppid(), ctypes.c_void_p(at), 1, "
        "ctypes.c_void_p(at), 1, 0) == 8",
    ),
    "writes_to_its_parent": ("import os; open(f'/proc/{os.getppid()}/mem', 'r+b').close()",),
    "limits_its_parent": (
        "import os, resource",
        "resource.prlimit(os.getppid(), resource.RLIMIT_NPROC, (1, 1))",
    ),
    "forks_from_a_thread": (
        "import os, threading",
        "born = []",
        "def fork():",
        "    if os.fork() == 0: os._exit(0)",
        "    born.append(1)",
        "thread = threading.Thread(target=fork)",
        "thread.start(); thread.join()",
        "assert born",
    ),
    "takes_the_next_job": (
        "import os, socket",
        "for number in range(3, 64):",
        "    try:",
        "        if socket.socket(fileno=os.dup(number)).recv(1): break",
        "    except OSError: pass",
        "else: raise OSError",
    ),
    "daemon": (
        "import os, time",
        "if os.fork() == 0:",
        "    os.setsid()",
        "    if os.fork() == 0:",
        "        time.sleep(20)",
        f"        open({TRACE!r} + '-daemon-late', 'w').write('x')",
        "    os._exit(0)",
    ),
    "chmod": ("import os; os.chmod('/tmp', 0o777)",),
}
_DEADLY = {
    "kills_its_parent": ("import os, signal; os.kill(os.getppid(), signal.SIGKILL)",),
    "kills_everything": ("import os, signal; os.kill(-1, signal.SIGKILL)",),
    "stops_its_group": ("import os, signal; os.killpg(0, signal.SIGSTOP)",),
}
# The worker may be gone after some of these, where nothing forbids them.
_CODES = ("GT202", "GT106", "GT109", "GT110", "GT107")

CASES = (
    *(
        Case(
            f"escape_{name}",
            "escape",
            one(f"escape_{name}", _text(name, *lines)),
            _CODES,
            trace=f"{TRACE}-{name}",
        )
        for name, lines in _LINES.items()
    ),
    *(
        Case(
            f"escape_{name}",
            "escape",
            one(f"escape_{name}", inside(*lines)),
            _CODES,
            only_boxed=True,
        )
        for name, lines in _DEADLY.items()
    ),
)
