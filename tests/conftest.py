"""What several test modules share."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from gradtool.__main__ import THRESHOLD
from gradtool.check import process
from gradtool.records import Struct
from tests.forked import Nursery

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("gradtool", deadline=None)  # no test fails because a machine is slow
settings.load_profile("gradtool")


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> Generator[None, int, int]:
    """One more worker than cores: many tests wait, for a limit of time or for another process.

    Those with PyTorch and JAX compute, and each worker imports both.
    """
    cores = yield
    computing = config.option.markexpr == "frameworks"
    return cores + 1 if config.option.numprocesses == "auto" and not computing else cores


APART = frozenset({"cluster", "frameworks", "latex", "published"})
"""The markers of what is run by name; of each, every file that has one says ``mark.NAME``."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where one of these is all that is asked for, files without it are not even imported.

    To import all of them took a quarter of the processor time of the tests with PyTorch and JAX.
    """
    marker = config.option.markexpr
    if marker in APART and collection_path.suffix == ".py" and collection_path.is_file():
        return None if _names(collection_path, marker) else True
    return None


@pytest.hookimpl(tryfirst=True)  # before those of other markers are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No test is one of those that would not be found."""
    for item in items:
        for marker in APART.intersection(mark.name for mark in item.iter_markers()):
            if not _names(item.path, marker):
                raise pytest.UsageError(f"{item.nodeid}: its file does not say mark.{marker}")


@cache
def _names(file: Path, marker: str) -> bool:
    return f"mark.{marker}" in file.read_text(encoding="utf-8")


def pytest_collection_finish() -> None:
    """What is there once the tests are collected stays, and is not looked through for garbage.

    Nor is what a test makes more often than in the command.
    """
    gc.set_threshold(THRESHOLD)
    gc.collect()
    gc.freeze()


class Finished(Struct, frozen=True):
    """A process that has ended: its exit code and what it wrote, as bytes decoded from UTF-8."""

    code: int
    out: str
    err: str


RunPython = Callable[..., Finished]


@pytest.fixture
def run_python(tmp_path: Path) -> RunPython:
    """Runs Python in a new process with this checkout, from an empty folder.

    Arguments: the command line after ``python``; ``env`` adds to or replaces (None removes)
    variables of the environment; ``input`` is its stdin.
    """

    def run(*arguments: str, env: dict[str, str | None] | None = None, input: str = "") -> Finished:
        changed: dict[str, str | None] = {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
        changed |= env or {}
        variables = {**os.environ, **changed}
        command: Sequence[str] = [sys.executable, *arguments]
        ended = subprocess.run(
            command,
            input=input.encode(),
            capture_output=True,
            cwd=tmp_path,
            env={name: value for name, value in variables.items() if value is not None},
            timeout=120,
            check=False,
        )
        return Finished(
            ended.returncode,
            ended.stdout.decode(errors="replace"),
            ended.stderr.decode(errors="replace"),
        )

    return run


@pytest.fixture(scope="session")
def started() -> Callable[..., process.Process]:
    """What starts the process of a worker, where no test has changed that."""
    return process.started


@pytest.fixture(scope="session", autouse=True)
def forked(started: Callable[..., process.Process]) -> Iterator[None]:
    """Every worker of `gradtool.check` in these tests is forked, where that can be done safely.

    Elsewhere (the system libraries of macOS do not bear it) each is started.
    """
    if sys.platform != "linux":
        yield
        return
    with Nursery() as nursery, pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "started", nursery.started)
        yield
