"""A Dask cluster grades a class as this machine does, also when a worker is killed meanwhile."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gradtool.cli import main
from gradtool.lint import cluster, store
from gradtool.report import lint_command
from tests.lint.hostile.model import FORWARD, HEAD, RIGHT_BACKWARD, WRONG

ASSIGNMENT = """\
assignment: far
questions:
  - spec: affine
    file: [layers.py, "*.py"]
    points: 4
    probes: [{N: 9, D: 2, C: 5}]
limits: {seconds: 5}
"""
COUNT = 60
SLOW = HEAD + "import time\ntime.sleep(0.2)\n" + FORWARD + RIGHT_BACKWARD
HELPED = HEAD + "from helper import times\n" + FORWARD + RIGHT_BACKWARD


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("GRADTOOL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "course"
    folder.mkdir()
    for number in range(COUNT):
        text = WRONG if number % 3 == 0 else SLOW
        (folder / f"s{number:02d}.py").write_text(f"{text}# {number}\n")
    (folder / "helped").mkdir()
    (folder / "helped" / "layers.py").write_text(HELPED.replace("X.T @ dY", "times(X.T, dY)"))
    (folder / "helped" / "helper.py").write_text("def times(a, b):\n    return a @ b\n")
    (folder / "link.py").symlink_to("/etc/passwd")
    (tmp_path / "far.yaml").write_text(ASSIGNMENT)
    return tmp_path


@pytest.fixture
def scheduler() -> Iterator[Any]:
    """A cluster of two processes on this machine."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as local:
        yield local


def graded(course: Path, **options: Any) -> dict[str, Any]:
    """The JSON report, without what time it took and how far slow code came in it."""
    out = io.StringIO()
    request = lint_command.Request(
        (course / "course",), assignment=course / "far.yaml", form="json", seed=4,
        require_sandbox=False, **options,
    )  # fmt: skip
    lint_command.run(request, out)
    found: dict[str, Any] = json.loads(out.getvalue())
    for one in found["submissions"]:
        for key in ("seconds", "cpu_seconds", "peak_bytes"):
            del one[key]
        for question in one["questions"]:
            del question["check"]
    return found


@pytest.mark.cluster
def test_a_killed_worker_loses_nothing(
    course: Path, scheduler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    added: list[str] = []
    add = store.Store.add

    def counted(self: store.Store, one: Any) -> None:
        added.append(one.name)
        add(self, one)

    monkeypatch.setattr(store.Store, "add", counted)
    with Client(scheduler.scheduler_address, set_as_default=False) as client:
        pids = list(client.run(os.getpid).values())
    assert len(set(pids)) == 2

    def kill() -> None:
        while len(added) < COUNT // 4:
            time.sleep(0.02)
        os.kill(pids[0], signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    options = {"executor": "dask", "scheduler": scheduler.scheduler_address}
    there = graded(course, results=course / "far.jsonl", **options)
    killer.join()
    assert sorted(added) == sorted(one["name"] for one in there["submissions"])
    assert len(added) == COUNT + 2
    here = graded(course, fresh=True)
    for one, other in zip(there["submissions"], here["submissions"], strict=True):
        assert one == other, json.dumps([one, other])
    assert there == here
    assert {one["name"] for one in here["submissions"] if not one["passed"]} == {
        "link.py",
        *(f"s{number:02d}.py" for number in range(0, COUNT, 3)),
    }
    added.clear()
    assert graded(course, results=course / "far.jsonl", **options) == there
    assert added == []


@pytest.mark.cluster
def test_a_cluster_without_workers_is_told(
    course: Path, scheduler: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    scheduler.scale(0)
    command = ["lint", str(course / "course"), "--assignment", str(course / "far.yaml")]
    command += ["--executor", "dask", "--scheduler"]
    while scheduler.scheduler.workers:
        time.sleep(0.05)
    assert main([*command, scheduler.scheduler_address]) == 2
    assert "the cluster has no worker" in capsys.readouterr().err
    assert main([*command, "tcp://127.0.0.1:1"]) == 2
    assert "no scheduler answers there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--executor", "daks"], "there is no executor 'daks'"),
        (["--executor", "dask"], "needs the address of a scheduler"),
        (["--scheduler", "tcp://h:1"], "--scheduler is for --executor dask"),
    ],
)
def test_options(options: list[str], message: str, course: Path, capsys: Any) -> None:
    command = ["lint", str(course / "course"), "--assignment", str(course / "far.yaml")]
    assert main([*command, *options]) == 2
    assert message in capsys.readouterr().err
