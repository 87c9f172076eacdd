"""Generate a course with a known answer key, grade it, and hold the grades against the key.

    python -m tests.course 300 [--right] [--seed 0] [--jobs 2] [--keep DIR]

Exit code 1 when a grade differs from the key; causes that differ are listed.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from gradtool.report import lint_command
from tests.course.compare import differences
from tests.course.generate import ASSIGNMENT, QUESTIONS, as_json, write, write_right


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.course")
    parser.add_argument("submissions", type=int)
    parser.add_argument("--right", action="store_true", help="right answers only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--keep", type=Path, help="a new folder that keeps course, key and report")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        top = given.keep or Path(temporary) / "course"
        written = write_right if given.right else write
        key = written(top / "submissions", given.submissions, given.seed)
        (top / "key.json").write_text(as_json(key))
        (top / "assignment.yaml").write_text(ASSIGNMENT)
        request = lint_command.Request(
            (top / "submissions",), assignment=top / "assignment.yaml", form="json",
            jobs=given.jobs, seed=given.seed, fresh=True, results=top / "results.jsonl",
        )  # fmt: skip
        out = io.StringIO()
        started, before = time.monotonic(), time.process_time()
        lint_command.run(request, out)
        seconds = time.monotonic() - started
        (top / "report.json").write_text(out.getvalue())
        report = json.loads(out.getvalue())
    found = list(differences(report, key))
    kinds = Counter(difference.kind for difference in found)
    asked = len(key) * len(QUESTIONS)
    wrong = sum(len(e.wrong) for answers in key.values() for e in answers.values())
    cpu = sum(one["cpu_seconds"] for one in report["submissions"])
    print(f"{len(key)} submissions, {asked} grades, {wrong} wrong gradients, {seconds:.1f} s")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    judge = usage.ru_utime + usage.ru_stime - before
    print(f"{len(key) / seconds:.1f} submissions a second")
    print(
        f"CPU of a submission and question: workers {1000 * cpu / asked:.1f} ms, "
        f"judge {1000 * judge / asked:.1f} ms"
    )
    print(f"memory of the judge {usage.ru_maxrss >> 10} MB")
    print(f"{kinds['points']} grades and {kinds['cause']} causes differ from the key")
    for difference in found:
        print(
            f"  {difference.submission} {difference.question} {difference.kind}: {difference.told}"
        )
    return 1 if kinds["points"] else 0


if __name__ == "__main__":
    sys.exit(main())
