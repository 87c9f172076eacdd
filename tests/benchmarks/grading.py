"""Graders beside each other: what a submission costs, and which wrong ones get full marks.

    python -m tests.benchmarks.grading [--runs 15] [--class 200] [--only NAME] [--python FILE]

gradtool, plain pytest, gradescope-utils and otter-grader (the last two from the extra `bench`, here
or in the environment of the interpreter FILE; a dash where one is not installed) grade the same
answers to one question, `affine`; the three get a test that compares every gradient with the right
one at two random points. Processor time is of the whole process, beside that of a fresh
``python -c "import numpy"``. Then each grades the wrong submissions of the hostile suite that are
harmless without a sandbox; what the grader itself reports counts (its exit code, its results file).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from statistics import median

from gradtool.records import Struct
from tests.benchmarks.tables import milliseconds, ratio, table
from tests.conftest import ROOT
from tests.course.generate import HEAD, QUESTIONS
from tests.lint.hostile.escape import traces
from tests.lint.hostile.generate import ASSIGNMENT, CASES, write
from tests.lint.hostile.model import Case

_SECONDS = 10
_PLAIN = {"OPENBLAS_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
_HAS = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
_MEMORY = 2 << 30

_CHECKS = """\
import importlib.util, sys
import numpy as np

def student():
    spec = importlib.util.spec_from_file_location("student", {path!r})
    module = importlib.util.module_from_spec(spec)
    sys.modules["student"] = module
    spec.loader.exec_module(module)
    return module

def results(seed):
    rng = np.random.default_rng(seed)
    X, W, b, dY = (rng.standard_normal(s) for s in ((5, 4), (4, 3), (3,), (5, 3)))
    module = student()
    Y, cache = module.affine_forward(X.copy(), W.copy(), b.copy())
    gradients = module.affine_backward(dY.copy(), cache)
    return (Y, *gradients), (X @ W + b, dY @ W.T, X.T @ dY, dY.sum(axis=0))

def check(seed, number):
    found, right = results(seed)
    assert np.allclose(found[number], right[number], rtol=1e-6, atol=1e-8)
"""
_PYTEST = """
import pytest

@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_gradient(seed, number):
    check(seed, number)
"""
_GRADESCOPE = """
import unittest
from gradescope_utils.autograder_utils.decorators import weight
from gradescope_utils.autograder_utils.json_test_runner import JSONTestRunner

class Test(unittest.TestCase):
    pass

for number in range(4):
    def test(self, number=number):
        check(1, number), check(2, number)
    setattr(Test, f"test_{number}", weight(1)(test))

suite = unittest.defaultTestLoader.loadTestsFromTestCase(Test)
with open("results.json", "w") as stream:
    JSONTestRunner(visibility="visible", stream=stream).run(suite)
"""
_OTTER = """\
OK_FORMAT = True
test = {
    "name": "q1",
    "points": 4,
    "suites": [{"cases": [{"code": CODE, "hidden": False, "locked": False}],
                "scored": True, "setup": "", "teardown": "", "type": "doctest"}],
}
"""
_OTTER_CODE = """\
>>> import numpy as np
>>> def agree(seed):
...     rng = np.random.default_rng(seed)
...     X, W, b, dY = (rng.standard_normal(s) for s in ((5, 4), (4, 3), (3,), (5, 3)))
...     Y, cache = affine_forward(X.copy(), W.copy(), b.copy())
...     found = (Y, *affine_backward(dY.copy(), cache))
...     right = (X @ W + b, dY @ W.T, X.T @ dY, dY.sum(axis=0))
...     return all(np.allclose(f, r, rtol=1e-6, atol=1e-8) for f, r in zip(found, right))
>>> bool(agree(1) and agree(2))
True
"""


class Graded(Struct, frozen=True):
    """What a grader made of one submission: processor seconds, and whether it gave full marks."""

    cpu: float
    full: bool


def run(command: list[str], folder: Path) -> tuple[float, int]:
    """Processor time and exit code of a command, which is stopped when it takes too long."""

    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        os.setsid()

    child = subprocess.Popen(
        command, cwd=folder, preexec_fn=limits, env={**os.environ, **_PLAIN},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 3 * _SECONDS
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > deadline:
            os.killpg(child.pid, 9)
        time.sleep(0.01)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime, child.returncode


def by_pytest(python: str, submission: Path, folder: Path) -> Graded:
    (folder / "test_it.py").write_text(_CHECKS.format(path=str(submission)) + _PYTEST)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    cpu, code = run(command, folder)
    return Graded(cpu, code == 0)


def _scored(cpu: float, folder: Path) -> Graded:
    """Full marks or not, by the results in Gradescope's format."""
    try:
        found = json.loads((folder / "results.json").read_text())
        score = sum(test.get("score", 0) for test in found["tests"])
    except (OSError, ValueError, KeyError, AttributeError):
        return Graded(cpu, False)
    return Graded(cpu, score >= 4)


def by_gradescope(python: str, submission: Path, folder: Path) -> Graded:
    (folder / "run_tests.py").write_text(_CHECKS.format(path=str(submission)) + _GRADESCOPE)
    cpu, _ = run([python, "run_tests.py"], folder)
    return _scored(cpu, folder)


def by_otter(python: str, submission: Path, folder: Path) -> Graded:
    (folder / "autograder.zip").write_bytes(_autograder(python))
    (folder / "hw.py").write_bytes(submission.read_bytes())
    command = [python, "-m", "otter", "run", "-a", "autograder.zip", "--no-logo", "hw.py"]
    cpu, _ = run(command, folder)
    return _scored(cpu, folder)


@cache
def _autograder(python: str) -> bytes:
    """What a teacher who uses otter-grader makes once for an assignment."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tests").mkdir()
        (folder / "tests" / "q1.py").write_text(f"CODE = {_OTTER_CODE!r}\n{_OTTER}")
        command = [python, "-m", "otter", "generate", "-t", "tests", "-o", "autograder.zip"]
        _, code = run(command, folder)
        if code:
            raise RuntimeError("otter generate failed")
        return (folder / "autograder.zip").read_bytes()


OTHERS: Mapping[str, tuple[str, Callable[[str, Path, Path], Graded]]] = {
    "pytest": ("pytest", by_pytest),
    "gradescope-utils": ("gradescope_utils", by_gradescope),
    "otter-grader": ("otter", by_otter),
}


def interpreter(module: str, further: str | None) -> str | None:
    """This one, or a further one, whichever has a module first."""
    if importlib.util.find_spec(module) is not None:
        return sys.executable
    if further is not None and subprocess.run([further, "-c", _HAS, module]).returncode == 0:
        return further
    return None


def by_gradtool(folder: Path, assignment: str) -> tuple[float, dict[str, bool]]:
    """Processor seconds of the judge and all workers, and who got full marks, by name."""
    (folder / "a.yaml").write_text(assignment)
    command = [sys.executable, "-m", "gradtool", "lint", "course", "--assignment", "a.yaml"]
    command += ["--fresh", "--exit-zero", "--format", "csv", "--output", "json=report.json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    nowhere = subprocess.DEVNULL
    subprocess.run(command, cwd=folder, check=True, stdout=nowhere, stderr=nowhere)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    judge = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = json.loads((folder / "report.json").read_text())["submissions"]
    workers = sum(one["cpu_seconds"] for one in found)
    return judge + workers, {one["name"]: one["passed"] for one in found}


def costs(runs: int, count: int, only: str | None, further: str | None) -> None:
    """Print what one right submission of one question costs."""
    # The checks of the others call two functions.
    right = [a for a in QUESTIONS[0].answers if a.right and "def affine_backward" in a.text]
    rows = {"python -c 'import numpy'": [], **{name: [] for name in OTHERS}}  # type: ignore[var-annotated]
    for turn in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            cpu, _ = run([sys.executable, "-c", "import numpy"], Path(folder))
            rows["python -c 'import numpy'"].append(cpu)
        for name, (module, grade) in OTHERS.items():
            python = interpreter(module, further)
            if python is None or (only and name != only):
                continue
            with tempfile.TemporaryDirectory() as folder:
                submission = Path(folder) / "submission.py"
                submission.write_text(HEAD + right[turn % len(right)].text)
                graded = grade(python, submission, Path(folder))
                assert graded.full, name
                rows[name].append(graded.cpu)
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder) / "course"
        course.mkdir()
        for number in range(count):
            text = HEAD + right[number % len(right)].text
            (course / f"s{number:04d}.py").write_text(f"{text}# {number}\n")
        started = time.monotonic()
        cpu, passed = by_gradtool(Path(folder), ASSIGNMENT)
        seconds = time.monotonic() - started
        assert all(passed.values())
        assert len(passed) == count
    fresh = median(rows["python -c 'import numpy'"])
    found = {name: median(values) if values else None for name, values in rows.items()}
    found[f"gradtool lint, {count} together"] = cpu / count
    title = f"\nCPU of one right submission (gradtool: {seconds:.2f} s of wall time for all)\n"
    cells = [[name, milliseconds(value), ratio(value, fresh)] for name, value in found.items()]
    print(table(title, ["", "ms", "of import numpy"], cells))


def hostile(only: str | None, further: str | None) -> None:
    """Print which wrong submissions each grader gives full marks; what they leave is removed."""
    try:
        _hostile(only, further)
    finally:
        for place in traces():
            place.unlink()


def _hostile(only: str | None, further: str | None) -> None:
    kinds = ("forging", "forbidden", "broken")
    wrong = (c for c in CASES if not c.passed and not c.only_boxed and c.kind in kinds)
    single = (c for c in wrong if len(c.files) == 1)
    chosen = tuple(c for c in single if str(next(iter(c.files))).endswith(".py"))
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder) / "course"
        course.mkdir()
        names = write(course, chosen)
        _, passed = by_gradtool(Path(folder), ASSIGNMENT)
        _told("gradtool lint", [names[n] for n, full in passed.items() if full], len(chosen))
        for name, (module, grade) in OTHERS.items():
            python = interpreter(module, further)
            if python is None or (only and name != only):
                print(f"{name}: -")
                continue
            full: list[Case] = []
            for file, case in names.items():
                with tempfile.TemporaryDirectory() as own:
                    if (course / file).is_file() and grade(python, course / file, Path(own)).full:
                        full.append(case)
            _told(name, full, len(chosen))


def _told(name: str, full: list[Case], of: int) -> None:
    listed = ", ".join(sorted(case.name for case in full))
    print(f"{name}: full marks to {len(full)} of {of} wrong submissions{': ' * bool(full)}{listed}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.grading")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--class", type=int, default=200, dest="count")
    parser.add_argument("--only", choices=OTHERS)
    parser.add_argument("--python", help="of an environment with the graders that are not here")
    given = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the others were compiled by pip
    costs(given.runs, given.count, given.only, given.python)
    hostile(given.only, given.python)


if __name__ == "__main__":
    main()
