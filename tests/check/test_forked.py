"""A user's file finds the same in a worker that the tests fork and in one that is started."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradtool.check import process
from gradtool.check.process import Worker, WorkerLost

LOOKS = """
import json, os, signal, sys, threading
import numpy as np
seen = {
    "path": sys.path, "arguments": sys.argv, "flags": list(sys.flags), "main": __name__,
    "modules": sorted(sys.modules), "variables": dict(os.environ), "folder": os.getcwd(),
    "leads": [os.getpid() == os.getsid(0), os.getpid() == os.getpgid(0)],
    "handlers": [str(signal.getsignal(n)) for n in signal.valid_signals()],
    "threads": threading.active_count(), "mask": os.umask(0o77),
    "open": {fd: os.readlink(f"/proc/self/fd/{fd}").partition(":")[0]
             for fd in sorted(os.listdir("/proc/self/fd"), key=int)[:-1]},
}
with open("seen.json", "w") as file: json.dump(seen, file)
"""
FOR_FORKING = {"socket", "_socket", "selectors", "select", "array", "math"}
"""Modules that only a process which forks workers imports."""


def seen_in(worker: Worker, file: Path) -> dict[str, Any]:
    with worker:
        worker.ask({"op": "load", "file": str(file)})
    seen: dict[str, Any] = json.loads((file.parent / "seen.json").read_text())
    return seen


def test_a_file_finds_the_same(
    tmp_path: Path, started: Callable[..., process.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "looks.py"
    file.write_text(LOOKS)
    monkeypatch.setenv("LANG", "C")
    forked = seen_in(Worker(tmp_path, 20), file)
    with monkeypatch.context() as patch:
        patch.setattr(process, "started", started)
        real = seen_in(Worker(tmp_path, 20), file)
    more = set(forked.pop("modules")) ^ set(real.pop("modules"))
    assert more <= FOR_FORKING
    assert forked == real


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import os; os._exit(3)", "exit code 3"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os, time; os.closerange(3, 100); time.sleep(100)", "closed its connection"),
    ],
)
def test_how_one_ends_is_told(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "ends.py"
    file.write_text(line)
    with Worker(tmp_path, 5) as worker, pytest.raises(WorkerLost, match=said):
        worker.ask({"op": "load", "file": str(file)})


def test_the_end_of_one_is_not_that_of_another(tmp_path: Path) -> None:
    (tmp_path / "empty.py").touch()
    asked = {"op": "load", "file": str(tmp_path / "empty.py")}
    with Worker(tmp_path, 5) as other:
        with Worker(tmp_path, 5) as worker:
            os.kill(worker.process_id, signal.SIGKILL)
            with pytest.raises(WorkerLost, match="SIGKILL"):
                worker.ask(asked)
        assert other.ask(asked).header["names"]
