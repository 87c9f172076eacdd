"""The long run: many random programs, judged in several processes.

    python -m tests.programs.run_many 20000 --jobs 2 [--first 0] [--shrink FOLDER]

Program k is made from the seed k, so a failure is reproduced by its number.  Progress goes to
stderr, the table to stdout.  Exit code 1 when a program was wrong or crashed, else 0.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import FrameType

from tests.programs.generate import Program, generate
from tests.programs.prove import Outcome, prove
from tests.programs.shrink import shrink

PATIENCE = 60  # seconds of the processor for one program: a busy machine is no reason to give up


@dataclass(frozen=True)
class Judged:
    seed: int
    outcome: Outcome
    seconds: float


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def late(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def judge(seed: int) -> Judged:
    """Make and judge program `seed`."""
    started = time.process_time()
    try:
        with _limited(PATIENCE):
            outcome = prove(generate(random.Random(seed)), seed)
    except TimeoutError as error:
        outcome = Outcome("crashed", "TimeoutError", str(error))
    return Judged(seed, outcome, time.process_time() - started)


def small(seed: int, seconds: int = 60) -> tuple[Program, Outcome]:
    """The smallest program found that fails as program `seed` does."""
    program = generate(random.Random(seed))
    first = prove(program, seed)
    until = time.process_time() + seconds

    def fails(candidate: Program) -> bool:
        if time.process_time() > until:
            return False
        try:
            with _limited(10):
                again = prove(candidate, seed)
        except TimeoutError:
            return False
        return (again.status, again.reason) == (first.status, first.reason)

    found = shrink(program, fails)
    return found, prove(found, seed)


def table(results: list[Judged], seconds: float) -> str:
    """Counts by outcome, then every reason with the first programs that had it."""
    count = len(results)
    by_status: dict[str, int] = defaultdict(int)
    by_reason: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in sorted(results, key=lambda r: r.seed):
        by_status[one.outcome.status] += 1
        if one.outcome.reason:
            by_reason[one.outcome.status, one.outcome.reason].append(one.seed)
    lines = [f"{count} programs in {seconds:.0f} s"]
    for status in ("agrees", "undefined", "refused", "crashed", "wrong"):
        number = by_status[status]
        lines.append(f"  {status:<10} {number:>7}  {100 * number / max(count, 1):6.2f} %")
    for (status, reason), seeds in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        shown = " ".join(map(str, seeds[:6]))
        lines.append(f"  {status:<10} {len(seeds):>7}  {reason}  (programs {shown})")
    slowest = sorted(results, key=lambda r: -r.seconds)[:5]
    lines.append("  slowest: " + ", ".join(f"{r.seed} ({r.seconds:.1f} s)" for r in slowest))
    return "\n".join(lines)


def _write(folder: Path, seed: int) -> None:
    program, outcome = small(seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{seed}.txt").write_text(
        f"program {seed}: {outcome.status}: {outcome.reason}\n\n{program.yaml}\n{outcome.detail}\n"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("count", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--shrink", type=Path, help="write the small form of failures here")
    given = parser.parse_args(arguments)
    started = time.monotonic()
    results: list[Judged] = []
    told: set[tuple[str, str]] = set()
    failing: list[int] = []
    # A worker is replaced now and then: the caches of the derivation would grow without end.
    with get_context("fork").Pool(given.jobs, maxtasksperchild=500) as pool:
        seeds = range(given.first, given.first + given.count)
        for one in pool.imap_unordered(judge, seeds, chunksize=4):
            results.append(one)
            outcome = one.outcome
            if outcome.status in ("crashed", "wrong", "refused"):
                key = (outcome.status, outcome.reason)
                if key not in told:
                    told.add(key)
                    failing.append(one.seed)
                    print(
                        f"program {one.seed}: {outcome.status}: {outcome.reason}", file=sys.stderr
                    )
            if len(results) % 100 == 0:
                seconds = time.monotonic() - started
                print(f"{len(results)}/{given.count}  {seconds:.0f} s", file=sys.stderr)
        if given.shrink is not None:
            pool.starmap(_write, [(given.shrink, seed) for seed in failing])
    print(table(results, time.monotonic() - started))
    bad = any(r.outcome.status in ("crashed", "wrong") for r in results)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
