"""A large course in one run, and the same killed half way and resumed: one report, nothing lost.

    python -m tests.course.large 10000 [--jobs 2]

Prints the throughput of each tenth of the run, memory and processor time; exit code 1 when the
two reports differ, or a grade is not the key's.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradtool.records import Struct
from tests.course.compare import differences
from tests.course.generate import ASSIGNMENT, QUESTIONS, write

_TIMES = ("seconds", "cpu_seconds", "peak_bytes")
_TENTHS = 10


class Ended(Struct, frozen=True):
    """A run: seconds at which each tenth was done, and what it used."""

    tenths: tuple[float, ...]
    cpu_seconds: float
    peak_megabytes: int


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.course.large")
    parser.add_argument("submissions", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        question = QUESTIONS[0]
        key = write(top / "submissions", given.submissions, 0)
        key = {name: {question.spec: found[question.spec]} for name, found in key.items()}
        head, _, rest = ASSIGNMENT.partition("  - spec: ")
        only = f"  - spec: {question.spec}\n    points: {question.points}\n"
        (top / "one.yaml").write_text(head + only + rest[rest.index("limits:") :])
        whole = run(top, "whole", given.submissions, given.jobs)
        print(f"{given.submissions} submissions of one question, {given.jobs} at once")
        steps = zip((0.0, *whole.tenths), whole.tenths, strict=False)
        rates = [given.submissions / _TENTHS / (end - start) for start, end in steps]
        print("submissions a second, by tenths:", " ".join(f"{rate:.0f}" for rate in rates))
        report = json.loads((top / "whole.json").read_text())
        workers = sum(one["cpu_seconds"] for one in report["submissions"])
        print(
            f"CPU of a submission: workers {1000 * workers / given.submissions:.1f} ms, judge "
            f"{1000 * whole.cpu_seconds / given.submissions:.1f} ms; "
            f"memory of the judge {whole.peak_megabytes} MB"
        )
        run(top, "resumed", given.submissions, given.jobs, kill_at=given.submissions // 2)
        kept = lines(top / "resumed.jsonl")
        run(top, "resumed", given.submissions, given.jobs)
        print(f"killed after {kept} results, and resumed")
        again = json.loads((top / "resumed.json").read_text())
        same = timeless(report) == timeless(again)
        wrong = list(differences(report, key))
        print(f"the reports are {'the same' if same else 'DIFFERENT'}")
        pairs = zip(timeless(report)["submissions"], timeless(again)["submissions"], strict=False)
        for one, other in pairs:
            if one != other:
                print(f"  {one['name']}: {told_apart(one, other)}")
        print(f"{sum(d.kind == 'points' for d in wrong)} grades differ from the key")
        for difference in wrong[:20]:
            print(f"  {difference.submission} {difference.kind}: {difference.told}")
    return int(not same or any(d.kind == "points" for d in wrong))


def run(top: Path, name: str, count: int, jobs: int, kill_at: int = 0) -> Ended:
    """`gradtool lint` in a process of its own, killed when so many results are there."""
    results = top / f"{name}.jsonl"
    command = [sys.executable, "-m", "gradtool", "lint", "submissions", "--assignment", "one.yaml"]
    command += ["--seed", "1", "--jobs", str(jobs), "--results", results.name, "--exit-zero"]
    command += ["--format", "csv", "--output", f"json={name}.json"]
    started = time.monotonic()
    done = 0
    tenths: list[float] = []
    with (top / f"{name}.csv").open("w") as out:
        child = subprocess.Popen(command, cwd=top, stdout=out, stderr=subprocess.DEVNULL)
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.05)
            done = lines(results)
            while len(tenths) < _TENTHS and done >= (len(tenths) + 1) * count // _TENTHS:
                tenths.append(time.monotonic() - started)
            if kill_at and done >= kill_at:
                os.kill(child.pid, signal.SIGKILL)
                kill_at = 0
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"gradtool ended with {child.returncode}")
    return Ended(tuple(tenths), usage.ru_utime + usage.ru_stime, usage.ru_maxrss >> 10)


_seen: dict[Path, tuple[int, int]] = {}


def lines(results: Path) -> int:
    """How many results stand in a file, counted on from the last time."""
    place, found = _seen.get(results, (0, 0))
    try:
        with results.open("rb") as stream:
            stream.seek(max(0, place - 1))  # the end of the line before tells where one begins
            fresh = stream.read()
    except OSError:
        return 0
    cut = fresh.rfind(b"\n") + 1  # what is behind it is read again
    found += fresh[:cut].count(b'\n{"name":')  # at the beginning of a line, not inside one
    _seen[results] = max(0, place - 1) + cut, found
    return found


def timeless(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report without what depends on how busy the machine is.

    That is the time it took and, for code that runs into its limits, how far it came.
    """
    submissions = []
    for one in report["submissions"]:
        kept = {key: value for key, value in one.items() if key not in _TIMES}
        if not one["name"].startswith("student"):  # hostile: many of them need all their time
            kept["questions"] = [(q["passed"], q["points"]) for q in one["questions"]]
        submissions.append(kept)
    counts = {"submissions", "passed", "points", "mean", "solved"}
    summary = {key: value for key, value in report["summary"].items() if key in counts}
    return {**report, "submissions": submissions, "summary": summary}


def told_apart(one: object, other: object) -> str:
    """The first lines that differ."""
    texts = [json.dumps(data, indent=0).splitlines() for data in (one, other)]
    found = [f"{a} / {b}" for a, b in zip(*texts, strict=False) if a != b]
    return "; ".join(found[:3])


if __name__ == "__main__":
    sys.exit(main())
