"""The long run: many random programs, judged in several processes.

    python -m tests.programs.run_many 20000 --jobs 2 [--first 0] [--loops] [--wide]
                                      [--record FILE] [--shrink FOLDER]

Every program is derived in closed and in staged form and judged at four sets of sizes; --wide
judges one of the two forms at two of the four sets, by the program's number, so that twice as many
programs are judged in the same time.

Program k is made from the seed k, with loops when it is negative, so a failure is reproduced by
its number.  With a record, every outcome is written down at once: a run that was stopped goes on
where it was, and the same command prints the table of what is there.  Progress goes to stderr, the
table to stdout.  Exit code 1 when a program was wrong or crashed, else 0.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import FrameType

from gradtool.records import Struct, replace
from tests.programs.generate import Program, generate
from tests.programs.looping import generate_loop
from tests.programs.prove import KINDS, Outcome, prove
from tests.programs.shrink import shrink

PATIENCE = 60  # seconds of the processor for one program: a busy machine is no reason to give up
MEMORY = 6 * 2**30  # bytes of one process


class Judged(Struct, frozen=True):
    """What came of a program, and with which engine: the commit, with a + when it was changed."""

    seed: int
    outcome: Outcome
    seconds: float
    commit: str = ""

    @property
    def line(self) -> str:
        """A line of a record; the details of programs that agree are left out."""
        detail = "" if self.outcome.status == "agrees" else self.outcome.detail
        known = (self.outcome.status, self.outcome.reason, detail)
        return json.dumps([self.seed, *known, round(self.seconds, 3), self.commit])

    @staticmethod
    def of_line(line: str) -> Judged:
        seed, status, reason, detail, seconds, commit = json.loads(line)
        return Judged(seed, Outcome(status, reason, detail), seconds, commit)


def _commit() -> str:
    def git(*words: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")


def recorded(file: Path, seeds: range) -> list[Judged]:
    """The programs of a record that are among the seeds; a line that was cut off is left out."""
    if not file.exists():
        return []
    whole = [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
    file.write_text("".join(whole))
    last = {one.seed: one for one in map(Judged.of_line, whole)}
    return [one for seed, one in last.items() if seed in seeds]


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


def made(seed: int) -> Program:
    """Program `seed`; the negative ones have loops."""
    return generate(random.Random(seed)) if seed >= 0 else generate_loop(random.Random(seed))


def judge(seed: int, wide: bool = False) -> Judged:
    """Make and judge program `seed`."""
    started = time.process_time()
    try:
        with _limited(PATIENCE):
            if wide:
                outcome = prove(made(seed), seed, 2, (KINDS[seed % 2],))
            else:
                outcome = prove(made(seed), seed)
    except TimeoutError as error:
        outcome = Outcome("crashed", "TimeoutError", str(error))
    return Judged(seed, outcome, time.process_time() - started)


def small(seed: int, seconds: int = 60) -> tuple[Program, Outcome]:
    """The smallest program found that fails as program `seed` does."""
    program = made(seed)
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


def table(results: list[Judged]) -> str:
    """Counts by outcome, then every reason with the first programs that had it."""
    if not results:
        return "no programs"
    results = sorted(results, key=lambda r: r.seed)
    count = len(results)
    commits = Counter(one.commit for one in results)
    engine = ", ".join(f"{name or 'unknown'} ({number})" for name, number in commits.items())
    seconds = sum(one.seconds for one in results)
    lines = [
        f"{count} programs, {results[0].seed} to {results[-1].seed}, at commit {engine}",
        f"{seconds:.0f} s of the processor, {seconds / count:.3f} s each",
    ]
    by_status = Counter(one.outcome.status for one in results)
    for status in ("agrees", "undefined", "refused", "crashed", "wrong"):
        number = by_status[status]
        lines.append(f"  {status:<10} {number:>7}  {100 * number / count:6.2f} %")
    by_reason: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in results:
        if one.outcome.reason:
            by_reason[one.outcome.status, one.outcome.reason].append(one.seed)
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
    parser.add_argument("--loops", action="store_true", help="programs with loops")
    parser.add_argument("--wide", action="store_true", help="less work on more programs")
    parser.add_argument("--record", type=Path, help="write every outcome here, and go on from it")
    parser.add_argument("--shrink", type=Path, help="write the small form of failures here")
    given = parser.parse_args(arguments)
    seeds = range(given.first, given.first + given.count)
    if given.loops:
        seeds = range(-1 - given.first, -1 - given.first - given.count, -1)
    results = [] if given.record is None else recorded(given.record, seeds)
    done = {one.seed for one in results}
    if done:
        print(f"{len(done)} of {len(seeds)} programs were judged before", file=sys.stderr)
    try:
        for one in _judged([s for s in seeds if s not in done], given.jobs, given.wide):
            results.append(one)
            if given.record is not None:
                with given.record.open("a") as file:
                    file.write(one.line + "\n")
            _tell(results, len(seeds))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    print(table(results))
    if given.shrink is not None:
        for one in _first_of_each_reason(results):
            _write(given.shrink, one.seed)
    bad = any(r.outcome.status in ("crashed", "wrong") for r in results)
    return 1 if bad else 0


def _bounded() -> None:
    """A program that fills the memory is one that crashed, not the end of the run."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, hard))


def _judged(seeds: list[int], jobs: int, wide: bool) -> Iterator[Judged]:
    commit = _commit()
    # A worker is replaced now and then: the caches of the derivation would grow without end.
    with get_context("fork").Pool(jobs, _bounded, maxtasksperchild=125) as pool:
        for one in pool.imap_unordered(partial(judge, wide=wide), seeds, chunksize=4):
            yield replace(one, commit=commit)


def _failed(one: Judged) -> bool:
    return one.outcome.status in ("crashed", "wrong", "refused")


def _first_of_each_reason(results: list[Judged]) -> list[Judged]:
    first: dict[tuple[str, str], Judged] = {}
    for one in results:
        if _failed(one):
            first.setdefault((one.outcome.status, one.outcome.reason), one)
    return list(first.values())


def _tell(results: list[Judged], count: int) -> None:
    """Progress, and every new kind of failure."""
    last = results[-1]
    if _failed(last) and last in _first_of_each_reason(results):
        print(f"program {last.seed}: {last.outcome.status}: {last.outcome.reason}", file=sys.stderr)
    if len(results) % 100 == 0:
        seconds = sum(one.seconds for one in results)
        print(f"{len(results)}/{count}  {seconds:.0f} s of the processor", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
