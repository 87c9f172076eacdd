"""No submission harms the machine, another submission, or the run.

Where the host lacks a layer the test says so: it asserts that the layers in force are reported
as lacking exactly what the harm needed, never that nothing happened.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gradtool.lint.isolation import frames
from gradtool.lint.isolation.limits import MIB, Limits
from gradtool.lint.isolation.status import unguarded
from gradtool.lint.isolation.zygote import Zygote
from tests.lint.isolation.conftest import HOSTILE, ROOT, SHORT, comes_true, run_hostile, send_asked

REFUSED = {"EPERM", "EACCES"}


def holds(zygote: Zygote, guard: str) -> bool:
    """Whether this host guards it; where not, the report must name what is missing, and why."""
    if guard not in unguarded(zygote.layers_active):
        return True
    lacking = [layer for layer in zygote.layers_active if not layer.active]
    assert lacking, f"{guard} is not guarded, and no layer says why"
    assert all(layer.reason for layer in lacking)
    assert all("inactive" in str(layer) for layer in lacking)
    return False


def test_an_ordinary_submission_does_not_notice(sandbox: Zygote, tmp_path: Path) -> None:
    source = tmp_path / "submission.py"
    source.write_text("def f(): ...\n")
    seen, ended, worker = run_hostile(sandbox, "ordinary", str(source), paths=(tmp_path,))
    assert ended.kind == "exited"
    assert ended.code == 0
    assert worker.output == b"a line\n"
    assert seen.pop("hash") != 0
    assert seen == {
        "inverse": True,
        "fft": 4.0,
        "decimal": "3.0",
        "source": "def f(): ...\n",
        "listed": ["submission.py"],
        "thread": [1],
        "environment": {},
        "stdin": "",
        "cpus": True,
    }


# --- takes too much


def test_an_infinite_loop_costs_its_own_time_only(sandbox: Zygote) -> None:
    limits = Limits(wall_seconds=1.0, cpu_seconds=20)
    began = time.monotonic()
    _, ended, _ = run_hostile(sandbox, "spin", limits=limits, answers=False)
    assert ended.kind == "timeout"
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("name", ["spin", "spin_on"])
def test_processor_time_ends(sandbox: Zygote, name: str) -> None:
    limits = Limits(wall_seconds=20.0, cpu_seconds=1)
    _, ended, _ = run_hostile(sandbox, name, limits=limits, answers=False)
    assert ended.kind == "cpu"
    assert ended.cpu_seconds < 4


def test_sleeping_is_not_free_either(sandbox: Zygote) -> None:
    limits = Limits(wall_seconds=0.5)
    assert run_hostile(sandbox, "sleep", limits=limits, answers=False)[1].kind == "timeout"


def test_recursion_ends_in_the_worker(sandbox: Zygote) -> None:
    _, ended, worker = run_hostile(sandbox, "recurse", answers=False)
    assert (ended.kind, ended.code) == ("exited", 1)
    assert b"RecursionError" in worker.output


def test_recursion_without_limit_ends_too(sandbox: Zygote) -> None:
    _, ended, _ = run_hostile(sandbox, "recurse_without_limit", answers=False)
    assert ended.kind in {"signalled", "memory", "cpu", "timeout", "exited"}
    assert (ended.kind, ended.code) != ("exited", 0)


def test_a_memory_bomb_is_told_as_one(sandbox: Zygote) -> None:
    limits = Limits(memory_bytes=100 * MIB)
    _, ended, _ = run_hostile(sandbox, "eat_memory", limits=limits, answers=False)
    assert ended.kind == "memory"
    assert ended.peak_bytes < 200 * MIB


def test_memory_within_the_limit_is_there(sandbox: Zygote) -> None:
    limits = Limits(memory_bytes=400 * MIB)
    seen, ended, _ = run_hostile(sandbox, "eat_memory", limits=limits)
    assert (seen, ended.kind) == (16, "exited")


def test_no_second_process_is_born(sandbox: Zygote) -> None:
    born, ended, _ = run_hostile(sandbox, "fork_bomb")
    if holds(sandbox, "processes"):
        assert born == 0
    assert ended.kind == "exited"


def test_threads_are_counted(sandbox: Zygote) -> None:
    started, _, _ = run_hostile(sandbox, "thread_bomb", limits=Limits(processes=1))
    if holds(sandbox, "processes"):
        assert started == 0
    started, _, _ = run_hostile(sandbox, "thread_bomb", limits=Limits(processes=4))
    # The superuser's tasks are not counted by the kernel; their stacks are, as memory.
    assert started <= (100 if os.getuid() == 0 else 50)


def test_a_flood_of_output_is_cut_and_blocks_nobody(sandbox: Zygote) -> None:
    seen, ended, worker = run_hostile(sandbox, "flood", limits=Limits(output_bytes=1000))
    assert (seen, ended.kind) == ("flooded", "exited")
    assert worker.output == b"x" * 1000


# --- leaves something behind


@pytest.mark.parametrize("name", ["leave_daemon", "leave_daemon_and_crash"])
@pytest.mark.parametrize("host", ["sandbox", "namespaces_only", "portable"])
def test_a_daemon_is_dead_afterwards(request: pytest.FixtureRequest, host: str, name: str) -> None:
    zygote: Zygote = request.getfixturevalue(host)
    began = time.monotonic()
    with zygote.run(f"{HOSTILE}:{name}", ()) as worker:
        pipe = os.readlink(f"/proc/self/fd/{worker.read_fd}")
        send_asked(worker)
        if name == "leave_daemon":
            made = json.loads(worker.receive(100, 10))
            # Where a daemon can be made it must be made, or this test proves nothing.
            assert made in (REFUSED if host == "sandbox" else {"done"})
        worker.wait()
        # The daemon held the pipe; had it lived, this would wait for it.
        with pytest.raises(frames.FrameEnded):
            worker.receive(100, 10)
        assert holders_of(pipe) == [os.getpid()]
    assert time.monotonic() - began < 5


def holders_of(pipe: str) -> list[int]:
    """The processes that have the pipe open."""
    found = set()
    for process in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            for fd in os.listdir(f"/proc/{process}/fd"):
                with contextlib.suppress(OSError):  # the listing itself had one open
                    if os.readlink(f"/proc/{process}/fd/{fd}") == pipe:
                        found.add(int(process))
    return sorted(found)


@pytest.mark.parametrize("host", ["namespaces_only", "portable"])
def test_children_that_were_born_are_dead_afterwards(
    request: pytest.FixtureRequest, host: str
) -> None:
    zygote: Zygote = request.getfixturevalue(host)
    with zygote.run(f"{HOSTILE}:fork_bomb", (), Limits(wall_seconds=5, processes=8)) as worker:
        pipe = os.readlink(f"/proc/self/fd/{worker.read_fd}")
        send_asked(worker)
        born = json.loads(worker.receive(100, 10))
        if os.getuid() != 0 and host == "namespaces_only":
            assert born < 8
        worker.wait()
        assert holders_of(pipe) == [os.getpid()]


@pytest.mark.parametrize("off", [(), ("namespaces",)])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_workers_die_with_the_judge(off: tuple[str, ...], end: signal.Signals) -> None:
    script = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from tests.lint.isolation.conftest import *
zygote = started(setup_with(layers_off={off!r}))
worker = zygote.run(HOSTILE + ":sleep", ())
while not worker.layers:
    worker._take_message()
print(worker.pid, zygote.pid, flush=True)
time.sleep(30)
"""
    judge = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert judge.stdout is not None
    pids = [int(word) for word in judge.stdout.readline().split()]
    judge.stdout.close()
    assert len(pids) == 2
    assert all(os.path.exists(f"/proc/{pid}") for pid in pids)
    judge.send_signal(end)
    judge.wait()
    assert comes_true(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


# --- ends oddly


def test_ending_with_zero_proves_nothing(sandbox: Zygote) -> None:
    with sandbox.run(f"{HOSTILE}:exit_at_once", ()) as worker:
        with pytest.raises(frames.FrameEnded):
            worker.receive(100, 10)
        assert worker.wait().kind == "exited"


@pytest.mark.parametrize("name", ["kill_itself"])
def test_a_signal_to_itself(sandbox: Zygote, name: str) -> None:
    _, ended, _ = run_hostile(sandbox, name, answers=False)
    assert (ended.kind, ended.detail) == ("signalled", "ended by SIGKILL")


def test_an_exception_is_in_the_output(sandbox: Zygote) -> None:
    _, ended, worker = run_hostile(sandbox, "raise_error", answers=False)
    assert (ended.kind, ended.code) == ("exited", 1)
    assert b"a text of the submission" in worker.output


def test_a_length_that_lies_is_refused_unread(sandbox: Zygote) -> None:
    with sandbox.run(f"{HOSTILE}:announce_too_much", ()) as worker:
        with pytest.raises(frames.FrameTooLong):
            worker.receive(1000, 10)
        worker.kill()
        assert worker.wait().kind == "killed"


def test_half_a_frame_ends(sandbox: Zygote) -> None:
    with pytest.raises(frames.FrameEnded):
        run_hostile(sandbox, "stop_in_a_frame")


def test_silence_has_a_deadline_and_so_has_deafness(sandbox: Zygote) -> None:
    with sandbox.run(f"{HOSTILE}:never_answer", ()) as worker:
        with pytest.raises(frames.FrameTimeout):
            worker.receive(1000, 0.3)
        with pytest.raises(frames.FrameTimeout):
            worker.send(bytes(8 * MIB), 0.3)


def test_large_frames_pass(sandbox: Zygote) -> None:
    payload = os.urandom(1 << 16) * 64
    with sandbox.run(f"{HOSTILE}:echo", ()) as worker:
        worker.send(payload, 5)
        assert worker.receive(len(payload), 5) == payload


# --- reaches out


def test_no_file_changes(sandbox: Zygote, tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("kept")
    os.chmod(kept, 0o666)
    os.chmod(tmp_path, 0o777)
    before = kept.stat()
    seen, _, _ = run_hostile(sandbox, "change_files", str(tmp_path), paths=(tmp_path,))
    if holds(sandbox, "files-write"):
        assert set(seen.values()) <= REFUSED, seen
        assert os.listdir(tmp_path) == ["kept.txt"]
        assert kept.read_text() == "kept"
        assert kept.stat().st_mtime_ns == before.st_mtime_ns
        assert kept.stat().st_mode == before.st_mode


def test_only_the_submission_can_be_read(sandbox: Zygote, tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "own.py").write_text("own")
    (outside / "private.txt").write_text("private")
    (inside / "link.py").symlink_to(outside / "private.txt")
    private = [
        str(outside / "private.txt"),
        str(inside / "link.py"),
        str(inside / ".." / "outside" / "private.txt"),
        "/etc/passwd",
        "/proc/self/environ",
        "/proc/1/environ",
        str(ROOT / "gradtool" / "__init__.py"),
    ]
    seen, _, _ = run_hostile(
        sandbox, "read_files", [*private, str(inside / "own.py")], paths=(inside,)
    )
    assert seen.pop(str(inside / "own.py")) == "done"
    if holds(sandbox, "files-read"):
        assert set(seen.values()) <= REFUSED, seen


def test_one_file_can_be_granted_without_its_folder(sandbox: Zygote, tmp_path: Path) -> None:
    for name in ("mine.py", "classmate.py"):
        (tmp_path / name).write_text(name)
    asked = [str(tmp_path / "mine.py"), str(tmp_path / "classmate.py")]
    seen, _, _ = run_hostile(sandbox, "read_files", asked, paths=(tmp_path / "mine.py",))
    assert seen[asked[0]] == "done"
    if holds(sandbox, "files-read"):
        assert seen[asked[1]] == "EACCES"


def test_the_environment_is_empty(sandbox: Zygote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADTOOL_TEST_SECRET", "hunter2")
    with Zygote(sandbox._setup) as zygote:
        zygote.start(SHORT, False)
        seen, _, _ = run_hostile(zygote, "read_own_environment", ["hunter2", "SECRET"])
    assert seen == []


def test_no_socket_reaches_anything(sandbox: Zygote, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    servers = [socket.socket(), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
    servers[0].bind(("127.0.0.1", 0))
    servers[1].bind(path)
    name = f"\0gradtool-{os.getpid()}"
    servers[2].bind(name)
    for server in servers:
        server.listen()
    port = servers[0].getsockname()[1]
    try:
        seen, _, _ = run_hostile(sandbox, "use_network", [port, path, name], paths=(tmp_path,))
    finally:
        for server in servers:
            server.close()
    if holds(sandbox, "network"):
        assert set(seen) == {"tcp", "udp", "unix", "abstract", "listen"}
        assert "done" not in seen.values(), seen


def test_no_process_is_within_reach(sandbox: Zygote) -> None:
    seen, ended, _ = run_hostile(sandbox, "reach_processes", os.getpid())
    if holds(sandbox, "signals"):
        assert set(seen.values()) <= REFUSED, seen
    assert ended.kind == "exited"


def test_limits_stay(sandbox: Zygote) -> None:
    seen, _, _ = run_hostile(sandbox, "raise_limits")
    assert set(seen) == {"AS", "CPU", "FSIZE", "NPROC", "NOFILE", "CORE"}
    assert set(seen.values()) <= {"EPERM", "ValueError"}, seen


def test_the_sandbox_cannot_be_left(sandbox: Zygote) -> None:
    seen, _, _ = run_hostile(sandbox, "leave_sandbox")
    if holds(sandbox, "processes"):
        assert set(seen.values()) == {"EPERM"}, seen


@pytest.mark.parametrize("host", ["sandbox", "portable"])
def test_two_pipes_and_the_standard_three_are_open(
    request: pytest.FixtureRequest, host: str
) -> None:
    seen, _, _ = run_hostile(request.getfixturevalue(host), "find_descriptors")
    assert seen == {"open": [0, 1, 2, 3, 4], "pipes": [3, 4]}


def test_a_job_does_not_change_the_next_or_the_one_beside(sandbox: Zygote) -> None:
    ended: dict[str, str] = {}

    def one(name: str, seconds: float) -> None:
        limits = Limits(wall_seconds=seconds)
        _, end, _ = run_hostile(sandbox, name, limits=limits, answers=False)
        ended[name] = end.kind

    jobs = [("sleep", 1.5), ("stop_parent_and_spin", 1.0), ("eat_memory", 10), ("kill_itself", 5)]
    threads = [threading.Thread(target=one, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    with sandbox.run(f"{HOSTILE}:echo", ()) as worker:
        worker.send(b"still here", 5)
        assert worker.receive(100, 5) == b"still here"
    for thread in threads:
        thread.join(15)
    assert ended["sleep"] == "timeout"
    assert ended["kill_itself"] == "signalled"
    assert len(ended) == 4


def test_a_daemon_dies_with_the_judge_too() -> None:
    """Without a process namespace, and while the job is still running."""
    script = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from tests.lint.isolation.conftest import *
zygote = started(setup_with(layers_off=("seccomp", "landlock", "namespaces")))
worker = zygote.run(HOSTILE + ":leave_daemon_and_stay", ())
worker.receive(100, 10)
print(os.readlink(f"/proc/self/fd/{{worker.read_fd}}"), flush=True)
time.sleep(30)
"""
    judge = subprocess.Popen(
        [sys.executable, "-c", "import os\n" + script], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert judge.stdout is not None
    pipe = judge.stdout.readline().strip()
    judge.stdout.close()
    assert len(holders_of(pipe)) >= 3  # judge, worker, daemon
    judge.kill()
    judge.wait()
    assert comes_true(lambda: not holders_of(pipe))
