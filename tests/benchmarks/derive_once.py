"""One derivation by one tool, in a process of its own, as JSON: `derivation` starts it.

    python -m tests.benchmarks.derive_once sympy affine 60

The last is a limit of processor time for the derivation, in seconds.

A new process for each, because all tools remember what they have simplified before.
"""

from __future__ import annotations

import importlib
import json
import signal
import sys
import time
from typing import Any

from tests.benchmarks.tools.case import NotOffered


def main() -> None:
    """Print {seconds, longest, total, wrong} or {refused} or {missing}."""
    tool, case, limit = sys.argv[1:]
    print(json.dumps(_run(tool, case, float(limit))))


def _run(tool: str, case: str, limit: float) -> dict[str, Any]:
    try:
        module = importlib.import_module(f"tests.benchmarks.tools.by_{tool}")
    except ModuleNotFoundError as error:
        return {"missing": error.name}
    try:
        prepared = module.prepare(case)
        signal.signal(signal.SIGPROF, _stop)
        signal.setitimer(signal.ITIMER_PROF, limit)
        started = time.process_time()
        printed = prepared.derive()
        seconds = time.process_time() - started
        signal.setitimer(signal.ITIMER_PROF, 0)
    except _TooLong:
        return {"refused": f"more than {limit:g} s"}
    except NotOffered as error:
        return {"refused": str(error)}
    except Exception as error:  # whatever another tool fails with is its answer
        if tool == "gradtool":
            raise
        message = f"{type(error).__name__}: {error}".rstrip(": ")
        return {"refused": " ".join(message.split())}
    return {
        "seconds": seconds,
        "longest": printed.longest,
        "total": printed.total,
        "wrong": prepared.judge(),
    }


class _TooLong(BaseException):
    """Not an Exception, which the tools catch."""


def _stop(_signal: int, _frame: object) -> None:
    raise _TooLong


if __name__ == "__main__":
    main()
