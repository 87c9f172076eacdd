"""A zygote runs trusted entries only, in clean interpreters that are all alike."""

from __future__ import annotations

import ast
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from gradtool.lint import isolation
from gradtool.lint.isolation import descendants, frames
from gradtool.lint.isolation import zygote as zygote_module
from gradtool.lint.isolation.jobs import Job, Setup
from gradtool.lint.isolation.launch import Interpreter
from gradtool.lint.isolation.limits import Limits
from gradtool.lint.isolation.supervisor import describe
from gradtool.lint.isolation.zygote import SandboxUnavailable, Zygote, ZygoteGone
from tests.lint.isolation.conftest import (
    HOSTILE,
    SHORT,
    comes_true,
    run_hostile,
    setup_with,
    started,
)

FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "numpy"}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "load", "loads_pickle", "fromstring"}


def unsafe_readers(source: str) -> list[str]:
    """Every name in a source by which bytes could become objects."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [alias.name for alias in names]
            case ast.ImportFrom(module=str(module)):
                found.append(module)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                if name in FORBIDDEN_NAMES:
                    found.append(f"{name}()")
    return [
        name for name in found if name.endswith("()") or name.split(".")[0] in FORBIDDEN_MODULES
    ]


def test_bytes_never_become_objects() -> None:
    files = list(Path(isolation.__file__).parent.rglob("*.py"))
    assert len(files) > 15
    assert {str(file): unsafe_readers(file.read_text()) for file in files} == {
        str(file): [] for file in files
    }


@pytest.mark.parametrize(
    "source", ["import pickle", "from marshal import loads", "np.load(f)", "eval(x)"]
)
def test_the_test_above_can_fail(source: str) -> None:
    assert unsafe_readers(source)


def test_all_workers_are_alike(sandbox: Zygote) -> None:
    first, _, _ = run_hostile(sandbox, "tell_hash")
    second, _, _ = run_hostile(sandbox, "tell_hash")
    with started(setup_with()) as another:
        third, _, _ = run_hostile(another, "tell_hash")
    assert first[0] == second[0] == third[0]


def test_a_fresh_process_per_job_does_the_same(tmp_path: Path) -> None:
    source = tmp_path / "submission.py"
    source.write_text("fresh")
    with started(setup_with(warm=False)) as zygote:
        names = [layer.name for layer in zygote.layers_active if layer.active]
        seen, ended, worker = run_hostile(zygote, "ordinary", str(source), paths=(tmp_path,))
        assert seen["source"] == "fresh"
        assert seen["inverse"] is True
        assert (ended.kind, worker.output) == ("exited", b"a line\n")
        assert [layer.name for layer in worker.layers if layer.active] == names
        limits = Limits(wall_seconds=1.5)
        assert run_hostile(zygote, "sleep", limits=limits, answers=False)[1].kind == "timeout"


def test_only_granted_libraries_can_be_imported(sandbox: Zygote) -> None:
    asked = ["numpy.fft", "colorsys", "sympy", "pytest", "gradtool.derive", "autograd"]
    seen, _, _ = run_hostile(sandbox, "import_others", asked)
    assert seen.pop("numpy.fft") == "done"
    assert seen.pop("colorsys") == "done"
    assert seen.pop("gradtool.derive") in {"ModuleNotFoundError", "EACCES"}
    assert set(seen.values()) == {"ModuleNotFoundError"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("os:getpid", b"not in one of gradtool"),
        ("gradtool.no_such_module:f", b"no_such_module"),
        ("gradtool.lint.isolation.entries:absent", b"absent"),
    ],
)
def test_an_entry_that_is_none(sandbox: Zygote, entry: str, said: bytes) -> None:
    with sandbox.run(entry, ()) as worker:
        ended = worker.wait()
        assert (ended.kind, ended.code) == ("exited", 1)
        assert said in worker.output


def test_a_judge_that_ends_before_it_had_work_is_no_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    one = Interpreter()
    frames.write_frame(one.control.fileno(), setup_with().to_bytes())
    one.end()
    assert one.process.returncode == 0
    assert capfd.readouterr().err == ""


def test_a_zygote_that_was_not_started_says_so() -> None:
    with pytest.raises(ZygoteGone, match="not started"):
        Zygote(setup_with()).run(f"{HOSTILE}:echo", ())


def test_a_zygote_that_died_says_so_and_another_can_be_started() -> None:
    with started(setup_with()) as zygote:
        with zygote.run(f"{HOSTILE}:sleep", ()) as worker:
            os.kill(zygote.pid, signal.SIGKILL)
            assert worker.wait().kind == "lost"
        with pytest.raises(ZygoteGone):
            zygote.run(f"{HOSTILE}:sleep", ())


def test_a_supervisor_that_died_is_replaced(sandbox: Zygote) -> None:
    with sandbox.run(f"{HOSTILE}:echo", ()) as worker:
        worker.send(b"1", 5)
        assert worker.receive(10, 5) == b"1"
        worker.wait()
        supervisors = children(sandbox.pid)
    for pid in supervisors:
        with suppress(ProcessLookupError):  # one too many that was idle has just ended
            os.kill(pid, signal.SIGKILL)
    assert comes_true(lambda: not set(supervisors) & set(children(sandbox.pid)))
    with sandbox.run(f"{HOSTILE}:echo", ()) as worker:
        worker.send(b"2", 5)
        assert worker.receive(10, 5) == b"2"


def children(zygote: int) -> list[int]:
    """The supervisors: below the zygote, or below the one process that it has to itself."""
    parent_of = descendants.parents()
    below = descendants.below(zygote, parent_of)
    parents = {parent_of[pid] for pid in below}
    return [pid for pid in below if pid not in parents]


def test_an_interpreter_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(ZygoteGone, match="did not start"):
        Zygote(setup_with()).start(SHORT, False)


def test_a_preload_that_fails_is_told() -> None:
    with pytest.raises(ZygoteGone, match="no_such_module"):
        Zygote(setup_with(preload=("gradtool.no_such_module",))).start(SHORT, False)


def test_an_interpreter_that_is_never_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library waits for a server when it is imported, say."""
    monkeypatch.setattr(zygote_module, "PREPARE_SECONDS", 0.001)
    with pytest.raises(ZygoteGone, match="not imported within 0 s"):
        Zygote(setup_with()).start(SHORT, False)


def test_a_system_without_fork_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with pytest.raises(SandboxUnavailable, match="fork"):
        Zygote(setup_with()).start(SHORT, False)


def test_many_at_once(sandbox: Zygote) -> None:
    answers: list[bytes] = []

    def ask(number: int) -> None:
        for turn in range(5):
            text = f"{number} {turn}".encode()
            with sandbox.run(f"{HOSTILE}:echo", ()) as worker:
                worker.send(text, 10)
                assert worker.receive(100, 10) == text
                answers.append(text)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(answers)) == 20


def test_no_descriptor_and_no_process_is_left(sandbox: Zygote) -> None:
    run_hostile(sandbox, "tell_hash")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        run_hostile(sandbox, "tell_hash")
    assert len(os.listdir("/proc/self/fd")) == before


def test_killing_is_prompt(sandbox: Zygote) -> None:
    with sandbox.run(f"{HOSTILE}:spin", ()) as worker:
        began = time.monotonic()
        worker.kill()
        assert worker.wait().kind == "killed"
        assert time.monotonic() - began < 2


def test_plain_data_survives_the_way() -> None:
    job = Job("a:b", (Path("/tmp/é\udcff"),), SHORT, True, "a:c")
    assert Job.from_bytes(job.to_bytes()) == job
    setup = Setup(libraries=("numpy", "scipy"), layers_off=("seccomp",))
    assert Setup.from_bytes(setup.to_bytes()) == setup


@pytest.mark.parametrize("name", ["wall_seconds", "cpu_seconds", "memory_bytes", "processes"])
def test_limits_are_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})


def test_a_worker_that_cannot_be_collected_is_lost() -> None:
    assert describe("itself", None, SHORT, 1.0).kind == "lost"
