"""A supervisor that is locked in with its workers is out of their reach, and outlives them."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from gradtool.lint.isolation import descendants
from gradtool.lint.isolation.limits import MIB, Limits
from gradtool.lint.isolation.worker import Worker
from gradtool.lint.isolation.zygote import Zygote
from tests.lint.isolation.conftest import HOSTILE, comes_true, run_hostile, send_asked

REFUSED = {"EPERM", "EACCES"}
AGAIN = Limits(wall_seconds=7.0, cpu_seconds=5.0, memory_bytes=300 * MIB, processes=6)
"""Limits of no other test: the lanes with them are the ones of this file."""


def shares(zygote: Zygote) -> bool:
    """Whether this host lets a supervisor lock itself in; it needs a namespace of its own."""
    return any(layer.name == "namespaces" and layer.active for layer in zygote.layers_active)


def supervisor_of(zygote: Zygote, limits: Limits = AGAIN) -> tuple[int, dict[str, str]]:
    """The number of the process that forked a worker, and what the system says of it."""
    with zygote.run(f"{HOSTILE}:echo", (), limits) as worker:
        parent = parent_of(worker)
        lines = Path(f"/proc/{parent}/status").read_text().splitlines()
        worker.send(b"", 5)
        return parent, dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def parent_of(worker: Worker) -> int:
    while not worker.pid:
        worker._take_message()
    return descendants.parents()[worker.pid]


def ask(zygote: Zygote, name: str) -> Any:
    return run_hostile(zygote, name, limits=AGAIN)[0]


def test_the_supervisor_is_locked_in_once(sandbox: Zygote) -> None:
    with sandbox.run(f"{HOSTILE}:echo", (), AGAIN) as worker:
        parent = parent_of(worker)
        worker.send(b"", 5)
        worker.wait()
    if shares(sandbox):
        again, status = supervisor_of(sandbox)
        assert again == parent
        assert status["NoNewPrivs"] == "1"
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        if any(layer.name == "seccomp" and layer.active for layer in sandbox.layers_active):
            assert status["Seccomp"] == "2"


def test_a_worker_has_no_hold_on_what_forked_it(sandbox: Zygote) -> None:
    for _ in range(3):
        seen, ended, _ = run_hostile(sandbox, "turn_on_parent", limits=AGAIN)
        assert ended.kind == "exited"
        if shares(sandbox):
            assert set(seen.values()) <= REFUSED, seen


def test_nothing_of_a_worker_is_left_for_the_next(sandbox: Zygote) -> None:
    first = ask(sandbox, "tell_memory")
    ask(sandbox, "turn_on_parent")
    run_hostile(sandbox, "hold_threads", limits=AGAIN, answers=False)
    run_hostile(sandbox, "kill_itself", limits=AGAIN, answers=False)
    assert ask(sandbox, "tell_memory") == first == [[], first[1], []]


def test_threads_that_were_held_are_free_again(sandbox: Zygote) -> None:
    for _ in range(3):
        run_hostile(sandbox, "hold_threads", limits=AGAIN, answers=False)
    started, _, _ = run_hostile(sandbox, "thread_bomb", limits=AGAIN)
    assert started >= AGAIN.processes - 1


@pytest.mark.parametrize("host", ["sandbox", "namespaces_only", "portable"])
def test_the_next_worker_comes_up_whatever_the_last_one_did(
    request: pytest.FixtureRequest, host: str
) -> None:
    zygote: Zygote = request.getfixturevalue(host)
    for name in ("exit_at_once", "kill_itself", "raise_error", "leave_daemon", "hold_threads"):
        with zygote.run(f"{HOSTILE}:{name}", (), AGAIN) as worker:
            send_asked(worker)
        assert run_hostile(zygote, "tell_hash", limits=AGAIN)[1].kind == "exited"


def test_other_limits_and_paths_have_a_lane_of_their_own(sandbox: Zygote, tmp_path: Path) -> None:
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.py").write_text(name)
    asked = [str(tmp_path / name / "file.py") for name in ("mine", "other")]
    for place, other in (asked, reversed(asked), asked):
        paths = (Path(place).parent,)
        seen, _, worker = run_hostile(sandbox, "read_files", asked, paths=paths)
        assert seen[place] == "done"
        if any(layer.name == "landlock" and layer.active for layer in worker.layers):
            assert seen[other] == "EACCES"
    small, large = Limits(memory_bytes=100 * MIB), Limits(memory_bytes=400 * MIB)
    for limits, kind in ((small, "memory"), (large, "exited"), (small, "memory")):
        with sandbox.run(f"{HOSTILE}:eat_memory", (), limits) as worker:
            send_asked(worker)
            assert worker.wait().kind == kind


@pytest.mark.parametrize("host", ["sandbox", "portable"])
def test_a_lane_keeps_data_for_its_workers(request: pytest.FixtureRequest, host: str) -> None:
    zygote: Zygote = request.getfixturevalue(host)
    limits, data = Limits(wall_seconds=6.0), {"a": b"first"}
    seen = []
    for _ in range(2):
        for number in range(2):
            keep = f"{HOSTILE}:keep_data"
            with zygote.run(f"{HOSTILE}:tell_memory", (), limits, keep=keep, data=data) as worker:
                send_asked(worker)
                seen.append(json.loads(worker.receive(1000, 10))[0])
                assert worker.kept == frozenset(data)
            data = {**data, "b": b"second"} if number else data
    assert seen == [["first"], ["first"], ["first", "second"], ["first", "second"]]


def test_lanes_that_are_idle_are_few(sandbox: Zygote) -> None:
    for number in range(20):
        limits = Limits(wall_seconds=30.0 + number)
        run_hostile(sandbox, "tell_hash", limits=limits)
    assert len(sandbox._free) <= 16


def test_a_supervisor_that_was_killed_takes_its_worker_along(sandbox: Zygote) -> None:
    if not shares(sandbox):
        return
    with sandbox.run(f"{HOSTILE}:sleep", (), AGAIN) as worker:
        os.kill(parent_of(worker), signal.SIGKILL)
        assert worker.wait().kind == "lost"
        assert comes_true(lambda: worker.pid not in descendants.parents())
    assert run_hostile(sandbox, "tell_hash", limits=AGAIN)[1].kind == "exited"
