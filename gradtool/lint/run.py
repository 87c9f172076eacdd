"""All submissions of a course, some at once; one never changes the result of another."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue

from gradtool.lint.grade import Bench, Case
from gradtool.lint.result import Graded
from gradtool.lint.rooms import Rooms
from gradtool.lint.store import Store
from gradtool.lint.submissions import Submission
from gradtool.records import Struct

_AHEAD = 4  # submissions in hand for each that runs, so that none waits for the slowest


class Done(Struct, frozen=True):
    """One submission is finished; `kept`: by an earlier run."""

    graded: Graded
    kept: bool


def share(submissions: Sequence[Submission], shard: tuple[int, int]) -> tuple[Submission, ...]:
    """The part of a course that one of several machines grades: every n-th, from the i-th on."""
    number, count = shard
    return tuple(submissions[number - 1 :: count])


def grade_all(
    submissions: Iterable[Submission], bench: Bench, store: Store, at_once: int
) -> Iterator[Done]:
    """Grade submissions as threads become free, in the order in which they are finished.

    Closing the iterator, or an exception in its consumer, waits for those that run already.
    """
    lock = threading.Lock()

    def one(submission: Submission) -> Done:
        with Case(submission, bench.key, rooms) as case:
            with lock:
                known = store.find(submission.name, case.key)
            if known is not None:
                return Done(known, True)
            graded = case.grade(bench)
        with lock:
            store.add(graded)
        return Done(graded, False)

    waiting = iter(submissions)
    finished: SimpleQueue[Future[Done]] = SimpleQueue()
    with Rooms() as rooms, ThreadPoolExecutor(at_once, thread_name_prefix="judge") as pool:
        running: set[Future[Done]] = set()
        try:
            while True:
                for submission in islice(waiting, at_once * _AHEAD - len(running)):
                    future = pool.submit(one, submission)
                    running.add(future)
                    future.add_done_callback(finished.put)
                if not running:
                    return
                # What was graded before an interrupt is counted, though both come at once.
                for future in sorted(_some(finished), key=lambda one: one.exception() is not None):
                    running.remove(future)
                    yield future.result()
        finally:
            for future in running:
                future.cancel()


def _some(finished: SimpleQueue[Future[Done]]) -> list[Future[Done]]:
    """All that there are, at least one."""
    return [finished.get(), *(finished.get_nowait() for _ in range(finished.qsize()))]
