"""The command ``gradtool``, and ``python -m gradtool``: a process that ends with it."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import NoReturn

THRESHOLD = 100_000
"""Objects between two looks for garbage: importing makes as many, and none of them is any."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    gc.set_threshold(THRESHOLD)
    with _workers_ahead() if sys.argv[1:2] == ["lint"] else nullcontext():
        from gradtool import cli

        code = cli.main()
    _end(code)


def _end(code: int) -> NoReturn:
    """End the process without taking the interpreter apart: a twentieth of a short command."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # whoever read it has gone
            stream.flush()
    os._exit(code)


def _workers_ahead() -> AbstractContextManager[object]:
    from gradtool.lint import early

    return early.ahead()


if __name__ == "__main__":
    main()
