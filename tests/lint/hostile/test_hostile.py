"""No hostile submission gets a point that it did not earn, hurts the host or another's result."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gradtool.lint import preparation
from gradtool.lint.isolation.jobs import Setup
from gradtool.report import lint_command
from tests.lint.hostile.escape import traces
from tests.lint.hostile.generate import ASSIGNMENT, CASES, write
from tests.lint.hostile.model import Case

ROOT = Path(__file__).parents[3]


SMALL = "GRADTOOL_HOSTILE_SMALL"
"""A variable of the environment: forbidden means are tried at small sizes only.

Who computes one entry after the other takes nearly all of the time at sizes of a thousand, and is
found at a small one: where only the host is another one, that is enough.
"""


def graded(
    folder: Path, cases: tuple[Case, ...], small: bool = False, **options: Any
) -> dict[str, Any]:
    """The submissions of JSON reports on these cases, by the case's name."""
    if not small:
        return _graded(folder, cases, ASSIGNMENT, **options)
    pinned = (ROOT / "specs/dense/affine.yaml").read_text() + "sizes: {N: 3, D: 4, C: 2}\n"
    (folder / "small.yaml").write_text(pinned)
    found: dict[str, Any] = {}
    forbidden = tuple(c for c in cases if c.kind in ("forbidden", "correct"))  # and classmates
    others = tuple(c for c in cases if c.kind != "forbidden")
    for part, spec in ((forbidden, "small.yaml"), (others, "affine")):
        text = ASSIGNMENT.replace("spec: affine", f"spec: {spec}")
        found |= _graded(folder, part, text, **options)
    return found


def _graded(
    folder: Path, cases: tuple[Case, ...], assignment: str, **options: Any
) -> dict[str, Any]:
    course = Path(tempfile.mkdtemp(dir=folder))
    names = {name: case.name for name, case in write(course, cases).items()}
    (folder / "hostile.yaml").write_text(assignment)
    out = io.StringIO()
    request = lint_command.Request(
        (course,), assignment=folder / "hostile.yaml", form="json", fresh=True, **options
    )
    assert lint_command.run(request, out) == 1
    report = json.loads(out.getvalue())
    assert len(report["submissions"]) == len(cases)
    return {names[one["name"]]: one for one in report["submissions"]}


def is_as_expected(case: Case, one: dict[str, Any]) -> bool:
    """Whether a result is the one that the case states."""
    errors = {
        finding["code"]
        for question in one["questions"]
        for finding in question["findings"]
        if finding["level"] == "error"
    }
    if case.passed:
        return bool(one["passed"]) and not errors
    return not one["passed"] and bool(errors & set(case.codes) if case.codes else errors)


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    small = SMALL in os.environ
    return graded(tmp_path_factory.mktemp("boxed"), CASES, small, require_sandbox=True)


def test_there_are_enough_of_each_kind() -> None:
    kinds = Counter(case.kind for case in CASES)
    assert sum(kinds.values()) >= 80
    assert min(kinds.values()) >= 10


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_in_a_sandbox_every_result_is_as_expected(case: Case, boxed: dict[str, Any]) -> None:
    one = boxed[case.name]
    assert is_as_expected(case, one), json.dumps(one["questions"], indent=1)
    if not case.passed:
        assert one["points"] < one["of"]


def test_nothing_got_out(boxed: dict[str, Any]) -> None:
    places = [Path(case.trace) for case in CASES if case.trace]
    assert [str(place) for place in places if place.exists()] == []
    assert traces() == []


def test_values_by_forbidden_means_earn_nothing(boxed: dict[str, Any]) -> None:
    assert {boxed[c.name]["points"] for c in CASES if c.kind == "forbidden"} == {0.0}


@pytest.fixture
def portable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A host with nothing but resource limits."""
    off = ("landlock", "seccomp", "namespaces", "privileges")
    monkeypatch.setattr(preparation, "Setup", partial(Setup, layers_off=off))
    harmless = tuple(case for case in CASES if not case.only_boxed and case.kind != "escape")
    yield graded(tmp_path, harmless, small=True, require_sandbox=False)
    for place in traces():
        place.unlink()


def test_without_a_sandbox_no_wrong_submission_passes(portable: dict[str, Any]) -> None:
    cases = {case.name: case for case in CASES}
    passed = {name for name, one in portable.items() if one["passed"]}
    # Without a sandbox a classmate's file can be read, if one knows where: the report says that
    # nothing guards the files. What is private to a submission still cannot be guessed.
    assert {name for name in passed if not cases[name].passed} == set()
    assert {name for name in portable if cases[name].passed} == passed


def test_as_a_user_without_rights() -> None:
    folders = sorted({sys.prefix, sys.base_prefix, str(ROOT)})
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o777)
        command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["--basetemp", f"{folder}/base", "-k", "in_a_sandbox or got_out", __file__]
        as_nobody = str(ROOT / "tests/lint/isolation/as_nobody.py")
        result = subprocess.run(
            [sys.executable, as_nobody, *folders, "--", *command],
            cwd=ROOT,
            env={**os.environ, SMALL: "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )
    if "unshare: " in result.stderr or "mount " in result.stderr:
        # Not root, or root in name only: the tests above ran without rights already.
        assert "not permitted" in result.stderr, result.stderr
    else:
        assert result.returncode == 0, result.stdout[-5000:] + result.stderr
        assert " passed" in result.stdout
