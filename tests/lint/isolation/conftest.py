"""Zygotes for the tests: one as the host allows, and some on hosts that allow less."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy
import pytest

from gradtool.lint.isolation.frames import FrameEnded
from gradtool.lint.isolation.jobs import Setup
from gradtool.lint.isolation.layers import all_layers
from gradtool.lint.isolation.limits import MIB, Limits
from gradtool.lint.isolation.status import Exit
from gradtool.lint.isolation.worker import Worker
from gradtool.lint.isolation.zygote import Zygote

ROOT = Path(__file__).parents[3]
HOSTILE = "tests.lint.isolation.hostile"
SHORT = Limits(wall_seconds=5.0, cpu_seconds=3.0, memory_bytes=256 * MIB)

Run = Callable[..., tuple[Any, Exit, Worker]]


def setup_with(**changes: Any) -> Setup:
    """A setup that knows the hostile entries."""
    return Setup(
        packages=("gradtool", "tests"),
        import_path=(str(ROOT), str(Path(numpy.__file__).parents[1])),
        **changes,
    )


def started(setup: Setup, *, require: bool = False) -> Zygote:
    """A running zygote."""
    zygote = Zygote(setup)
    zygote.start(SHORT, require)
    return zygote


def send_asked(worker: Worker, asked: object = None) -> None:
    """Send what an entry may read; one that reads nothing may be through by now."""
    with suppress(FrameEnded):
        worker.send(json.dumps(asked).encode(), 5)


def run_hostile(
    zygote: Zygote,
    name: str,
    asked: object = None,
    *,
    paths: tuple[Path, ...] = (),
    limits: Limits | None = None,
    answers: bool = True,
) -> tuple[Any, Exit, Worker]:
    """Run one hostile entry to its end: what it told, how it ended, its handle."""
    with zygote.run(f"{HOSTILE}:{name}", paths, limits) as worker:
        send_asked(worker, asked)
        answer = json.loads(worker.receive(1 << 20, 20)) if answers else None
        return answer, worker.wait(), worker


def comes_true(fact: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether something is so within that time.

    The system ends a process a moment after it closed its descriptors, and one whose namespace or
    whose judge was killed a moment after that.
    """
    last = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > last:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Zygote]:
    """All layers that this host has."""
    with started(setup_with(preload=(HOSTILE,))) as zygote:
        yield zygote


@pytest.fixture(scope="session")
def namespaces_only() -> Iterator[Zygote]:
    """A host without Landlock and seccomp."""
    off = ("landlock", "seccomp")
    with started(setup_with(preload=(HOSTILE,), layers_off=off)) as zygote:
        yield zygote


@pytest.fixture(scope="session")
def portable() -> Iterator[Zygote]:
    """A host with nothing but resource limits."""
    off = ("landlock", "seccomp", "namespaces", "privileges")
    with started(setup_with(preload=(HOSTILE,), layers_off=off)) as zygote:
        yield zygote


@pytest.fixture(scope="session")
def bare() -> Iterator[Zygote]:
    """No layer at all: what the tests try must then succeed, or they would prove nothing."""
    off = tuple(layer.name for layer in all_layers())
    with started(setup_with(preload=(HOSTILE,), layers_off=off)) as zygote:
        yield zygote
