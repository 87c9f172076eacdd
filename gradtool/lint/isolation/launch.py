"""Start the clean interpreter that the workers are forked from; light, so that it starts first."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import find_spec

from gradtool.lint.isolation import OURS

CLOSE_SECONDS = 10.0

# Isolated as by -I, but for the environment, which is ours and fixes the seed of hashes.
# Warnings would be written where hardly anybody reads, each at the cost of several evaluations.
OPTIONS = ("-P", "-s", "-S", "-W", "ignore")
# Before the first import, see `server.with_handlers`; importing makes nothing to collect.
BOOT = "import gc, os, sys; gc.disable(); os.register_at_fork = lambda **_: None; \
sys.path += sys.argv[2:]; from gradtool.lint.isolation.server import main; \
main(int(sys.argv[1])); os._exit(0)"
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
    "PYTHONUTF8": "1",
    "PYTHONIOENCODING": "utf-8:backslashreplace",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
FROM_OURS = ("LD_LIBRARY_PATH",)  # some builds of Python do not start without it


class Interpreter:
    """One that was started, and waits for a `Setup` on its socket.

    Attributes:
        process: it leads a session of its own: an interrupt at the terminal is the judge's.
        control: the socket.
    """

    def __init__(self) -> None:
        """Start one, and do not wait for it.

        Raises:
            OSError: there is no such interpreter, or no further process.
        """
        self.control, theirs = socket.socketpair()
        number = theirs.fileno()
        kept = {name: os.environ[name] for name in FROM_OURS if name in os.environ}
        options = [*OPTIONS, *["-B"] * sys.dont_write_bytecode]
        try:
            self.process = subprocess.Popen(
                [sys.executable, *options, "-c", BOOT, str(number), *places(OURS)],
                env={**ENVIRONMENT, **kept},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                pass_fds=(number,),
                start_new_session=True,
            )
        except OSError:
            self.control.close()
            raise
        finally:
            theirs.close()

    def ask_to_end(self) -> None:
        """Without waiting for it; `end` does."""
        self.control.close()

    def end(self) -> None:
        """Ask it to end, and insist."""
        # Asked first: without a process namespace only the zygote can find every daemon.
        self.ask_to_end()
        try:
            self.process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self.drop()

    def drop(self) -> None:
        """End it at once; nothing runs in it, or no longer."""
        with suppress(OSError):
            self.process.kill()
        self.control.close()
        self.process.wait()


def places(names: Iterable[str]) -> tuple[str, ...]:
    """The folders that have to be on the import path for these top-level packages."""
    found: list[str] = []
    for name in names:
        spec = find_spec(name)
        if spec is not None:
            inside = spec.submodule_search_locations or ([spec.origin] if spec.origin else [])
            found += map(os.path.dirname, inside)
    return tuple(dict.fromkeys(found))
