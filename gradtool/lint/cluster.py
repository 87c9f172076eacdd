"""Submissions graded by an existing Dask cluster.

The cluster is trusted as this machine is: each of its workers has gradtool, starts a sandbox of its
own and is a judge there. A submission travels to it as bytes, and its result comes back as the line
of JSON that is kept on disk. Where a worker is lost, its submissions are sent to another one; a
submission that is in the results counts once, however often it was sent.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gradtool import __version__
from gradtool.lint.assignment import Assignment
from gradtool.lint.grade import Bench, Case
from gradtool.lint.isolation.jobs import Setup
from gradtool.lint.isolation.status import LayerStatus, unguarded
from gradtool.lint.isolation.zygote import SandboxUnavailable, Zygote, ZygoteGone
from gradtool.lint.memo import Remembering
from gradtool.lint.parcel import Parcel, packed
from gradtool.lint.result import Graded, Sandbox
from gradtool.lint.rooms import Rooms
from gradtool.lint.run import Done
from gradtool.lint.store import Store, graded_of, line_of
from gradtool.lint.submissions import Submission
from gradtool.records import Struct, field
from gradtool.spec.usage import UsageError

CONNECT_SECONDS = 30
ALONE_SECONDS = 60.0
"""How long to wait for a worker when none is left."""
_AHEAD = 3  # submissions in hand for each thread of the cluster
_RETRIES = 2  # where a sandbox has to be started again
_TIMES = 5  # how often a submission is sent anew after several workers were lost with it
_GLANCE = 1.0
_GOES_ON = "what was graded is kept with --results: the same command goes on"


class Order(Struct, frozen=True):
    """All that a worker of the cluster must know, once."""

    assignment: Assignment
    references: Mapping[str, Remembering]
    setup: Setup
    seed: int
    key: str
    require_sandbox: bool


class _Station(Struct):
    """What one process of the cluster has set up: a sandbox for each `Setup`, a bench per order."""

    zygotes: dict[tuple[Setup, bool], Zygote] = field(default_factory=dict)
    benches: dict[tuple[str, int], tuple[Bench, Rooms]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def zygote(self, setup: Setup, assignment: Assignment, require: bool) -> Zygote:
        with self.lock:
            if (setup, require) not in self.zygotes:
                zygote = Zygote(setup)
                zygote.start(assignment.limits, require)
                self.zygotes[setup, require] = zygote
            return self.zygotes[setup, require]

    def bench(self, order: Order) -> tuple[Bench, Rooms]:
        zygote = self.zygote(order.setup, order.assignment, order.require_sandbox)
        with self.lock:
            found = self.benches.get((order.key, order.seed))
            if found is None:
                bench = Bench(
                    zygote, order.assignment, order.references, order.seed, __version__, order.key
                )
                found = self.benches[order.key, order.seed] = bench, Rooms()
            return found

    def forget(self, order: Order) -> None:
        with self.lock:
            self.benches.pop((order.key, order.seed), None)
            zygote = self.zygotes.pop((order.setup, order.require_sandbox), None)
        if zygote is not None:
            zygote.close()


_station = _Station()


def equipped(setup: Setup, assignment: Assignment, require: bool) -> tuple[str, Any]:
    """Called in each worker of the cluster: its version, and its layers or why it has none."""
    try:
        return __version__, _station.zygote(setup, assignment, require).layers_active
    except (SandboxUnavailable, ZygoteGone) as error:
        return __version__, error


def received(order: Order) -> Order:
    """Called in the cluster: a task can be done again where a worker that held it was lost."""
    return order


def graded(order: Order, name: str, parcel: Parcel) -> str:
    """Called in the cluster: the line of a submission."""
    bench, rooms = _station.bench(order)
    with Case(Submission(name, Path()), order.key, rooms, parcel) as case:
        try:
            return line_of(case.grade(bench))
        except ZygoteGone:
            _station.forget(order)  # the next try starts another one
            raise


class Cluster:
    """A connection to a scheduler.  A context manager."""

    def __init__(self, address: str, setup: Setup, assignment: Assignment, require: bool) -> None:
        """Connect.

        Raises:
            UsageError: Dask is not installed, nobody answers, or there is no worker.
        """
        try:
            from distributed import Client
        except ImportError:
            raise UsageError(
                "--executor dask needs Dask", "install it with: pip install 'gradtool[dask]'"
            ) from None
        self._setup, self._assignment, self._require = setup, assignment, require
        self._ready: queue.SimpleQueue[Any] = queue.SimpleQueue()
        try:
            self._client: Any = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            text = f"--scheduler {address}: no scheduler answers there: {error}"
            raise UsageError(text) from None

    def start(self) -> Sandbox:
        """Set up every worker; what guards submissions on all of them.

        Raises:
            UsageError: there is none, one has another version, or refuses.
        """
        asked = (self._setup, self._assignment, self._require)
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise UsageError("the cluster has no worker") from None
        answers: Mapping[str, tuple[str, Any]] = self._client.run(equipped, *asked)
        layers: tuple[LayerStatus, ...] = ()
        missing: set[str] = set()
        for address, (version, found) in answers.items():
            if version != __version__:
                raise UsageError(f"{address} has gradtool {version}, this is {__version__}")
            if isinstance(found, ZygoteGone):
                raise UsageError(f"{address}: no worker could be started: {found}")
            if isinstance(found, SandboxUnavailable):
                raise UsageError(
                    f"the submissions were not run: {address}: {found}",
                    "give --no-require-sandbox for files that you trust",
                )
            lost = set(unguarded(found))
            if not layers or lost - missing:
                layers = found  # those of the worker that guards least
            missing |= lost
        return Sandbox(layers, tuple(sorted(missing)))

    def grade_all(
        self, submissions: Sequence[Submission], order: Order, store: Store
    ) -> Iterator[Done]:
        """Grade submissions in the order in which they are finished.

        Raises:
            UsageError: no worker is left.
        """
        told = self._client.submit(received, order, pure=False)
        waiting = iter(submissions)
        running: dict[Any, Submission] = {}
        sent: Counter[str] = Counter()
        with Rooms() as rooms:
            fresh: Submission | None = next(waiting, None)
            while fresh is not None or running:
                while fresh is not None and len(running) < _AHEAD * max(1, self._threads()):
                    known, parcel = _looked_up(fresh, order, store, rooms)
                    if known is None:
                        running[self._sent(told, fresh, parcel)] = fresh
                    else:
                        yield Done(known, True)
                    fresh = next(waiting, None)
                for future in self._done(bool(running)):
                    submission = running.pop(future)
                    line = self._line(future)
                    if line is None:  # several workers were lost while they had it
                        sent[submission.name] += 1
                        if sent[submission.name] > _TIMES:
                            text = "workers of the cluster are lost again and again, at "
                            raise UsageError(f"{text}'{submission.name}'", _GOES_ON)
                        _, parcel = _looked_up(submission, order, store, rooms)
                        running[self._sent(told, submission, parcel)] = submission
                        continue
                    found = graded_of(line)
                    store.add(found)
                    yield Done(found, False)

    def close(self) -> None:
        """Leave the cluster as it was found, but for the sandboxes that wait there."""
        self._client.close()

    def _sent(self, order: Any, submission: Submission, parcel: Parcel) -> Any:
        name = submission.name
        client = self._client
        future = client.submit(graded, order, name, parcel, pure=False, retries=_RETRIES)
        future.add_done_callback(self._ready.put)
        return future

    def _threads(self) -> int:
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return sum(int(worker["nthreads"]) for worker in workers)

    def _done(self, some: bool) -> list[Any]:
        """One that is done, or nothing where none is in hand.

        Raises:
            UsageError: there has been no worker for a while.
        """
        last = time.monotonic()
        while some:
            with suppress(queue.Empty):
                return [self._ready.get(timeout=_GLANCE)]
            if self._threads():
                last = time.monotonic()
            elif time.monotonic() - last > ALONE_SECONDS:
                raise UsageError("the cluster has no worker any more", _GOES_ON)
        return []

    def _line(self, future: Any) -> str | None:
        """The line of a submission; None where its workers were lost.

        Raises:
            UsageError: a worker refuses.
        """
        from distributed.scheduler import KilledWorker

        try:
            return str(future.result())
        except KilledWorker:
            return None
        except SandboxUnavailable as error:
            text = f"a worker of the cluster refuses: {error}"
            raise UsageError(text, "give --no-require-sandbox for files that you trust") from None


def _looked_up(
    submission: Submission, order: Order, store: Store, rooms: Rooms
) -> tuple[Graded | None, Parcel]:
    """The result of an earlier run, and what is to be sent where there is none."""
    with Case(submission, order.key, rooms) as case:
        return store.find(submission.name, case.key), packed(case.staged)
