"""A run that is ended from outside keeps what is graded, and leaves no copies behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gradtool.lint.stopping import as_interrupt
from tests.conftest import ROOT
from tests.lint.hostile.model import RIGHT

ASSIGNMENT = "assignment: hw1\nquestions:\n  - spec: affine\nlimits: {seconds: 3}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_is_ended_as_by_an_interrupt(number: signal.Signals, tmp_path: Path) -> None:
    course, copies, results = tmp_path / "course", tmp_path / "tmp", tmp_path / "r.jsonl"
    course.mkdir()
    copies.mkdir()
    (tmp_path / "hw1.yaml").write_text(ASSIGNMENT)
    (course / "a.py").write_text(RIGHT)
    endless = RIGHT.replace("    return dY", "    import time; time.sleep(60)\n    return dY")
    for name in "bcdef":
        (course / f"{name}.py").write_text(f"{endless}# {name}\n")
    command = [sys.executable, "-m", "gradtool", "lint", str(course), "--jobs", "1"]
    command += ["--assignment", str(tmp_path / "hw1.yaml"), "--results", str(results)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(copies)}
    run = subprocess.Popen(
        [*command, "--no-require-sandbox"], env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not results.exists() or '"name":"a.py"' not in results.read_text():
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)  # until it is counted, too: the next one takes longer
    run.send_signal(number)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "interrupted: 1 of 6 are graded; the same command goes on from there" in told
    assert list(copies.iterdir()) == []


def test_signals_are_as_before_behind_the_block() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), as_interrupt():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with as_interrupt():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_nothing_is_asked_for() -> None:
    seen = []

    def work() -> None:
        with as_interrupt():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
