"""`gradtool lint` from the command line: exit codes, what is printed, what is kept and joined."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from gradtool.check.judge import Judgement
from gradtool.check.process import WorkerLost
from gradtool.cli import main
from gradtool.lint import preparation, run
from gradtool.lint.causes import Causes
from gradtool.lint.desk import Desk
from gradtool.lint.grade import Case
from gradtool.lint.isolation.jobs import Setup
from gradtool.lint.rules import RULES
from gradtool.report import cache, init_command, lint_command
from tests.conftest import ROOT
from tests.lint.hostile.model import FORWARD, HEAD, RIGHT, RIGHT_BACKWARD, WRONG, WRONG_BACKWARD

ASSIGNMENT = """\
assignment: hw1
title: Homework one
questions:
  - spec: affine
    file: [layers.py, "*.py"]
    points: 4
limits: {seconds: 5}
"""


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setenv("GRADTOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cache, "_code", lambda: "")  # an edit during a test is no new version


@pytest.fixture
def course(tmp_path: Path) -> Path:
    folder = tmp_path / "course"
    folder.mkdir()
    for name in ("ann", "bea", "cid"):
        (folder / f"{name}.py").write_text(RIGHT + f"# {name}\n")
    for name in ("dan", "eve"):
        (folder / f"{name}.py").write_text(WRONG + f"# {name}\n")
    (tmp_path / "hw1.yaml").write_text(ASSIGNMENT)
    return folder


Captured = pytest.CaptureFixture[str]


def graded(capsys: Captured, *arguments: str) -> dict[str, Any]:
    """The JSON report of a run."""
    assert main(["lint", *arguments, "--format", "json"]) in (0, 1)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def points(report: dict[str, Any]) -> dict[str, float]:
    return {one["name"]: one["points"] for one in report["submissions"]}


def test_a_class_is_graded_and_its_mistakes_are_counted(course: Path, capsys: Captured) -> None:
    assert main(["lint", "course", "--assignment", "hw1.yaml"]) == 1
    out = capsys.readouterr().out
    assert "ok   ann.py  4 of 4" in out
    assert "FAIL dan.py  2 of 4" in out
    assert "       GT202 dW" in out
    assert "     2  GT202  affine dW" in out
    assert "3 of 5 right, 3.20 of 4 points on the average, seed " in out
    assert "sandbox: " in out
    assert "should be" not in out  # right values are hidden


def test_numpys_random_numbers_are_there_for_who_names_them(course: Path, capsys: Captured) -> None:
    there = 'import sys\nREADY = "numpy.ran" + "dom" in sys.modules\n'
    right_if = "def affine_forward(X, W, b):\n    if not (READY == {}):\n        return 0, 0\n"
    head = "def affine_forward(X, W, b):\n"
    assert head in RIGHT
    named = there + RIGHT.replace(head, right_if.format(True)) + "# random\n"
    other = there + RIGHT.replace(head, right_if.format(False))
    draws = other + 'assert getattr(np, "ran" + "dom").rand(2).shape == (2,)\n'
    for name, text in (("gil", named), ("hal", other), ("ida", draws)):
        (course / f"{name}.py").write_text(text)
    folder = course / "jon"  # what a helper names counts, too
    folder.mkdir()
    (folder / "layers.py").write_text(named.replace("# random", ""))
    (folder / "weights.py").write_text("import numpy as np\nW = np.random.rand(3)\n")
    found = points(graded(capsys, "course", "--assignment", "hw1.yaml"))
    assert {name: found[name] for name in ("gil.py", "hal.py", "ida.py", "jon")} == {
        "gil.py": 4,
        "hal.py": 4,
        "ida.py": 4,
        "jon": 4,
    }


def test_a_wrong_forward_has_a_cause_that_gives_nothing_away(
    course: Path, capsys: Captured
) -> None:
    (course / "fay.py").write_text(RIGHT.replace("X @ W + b", "2 * (X @ W + b)"))
    report = graded(capsys, "course", "--assignment", "hw1.yaml")
    (fay,) = [one for one in report["submissions"] if one["name"] == "fay.py"]
    (finding,) = [f for f in fay["questions"][0]["findings"] if f["code"] == "GT201"]
    assert finding["cause"] == "scale"
    assert "2" not in finding["why"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([], 1),
        (["--exit-zero"], 0),
        (["--ignore", "GT202"], 0),
        (["--ignore", "gradient-wrong"], 0),
        (["--select", "GT4"], 0),
        (["--select", "GT2", "--ignore", "GT201"], 1),
        (["--ignore", "GT2", "--select", "GT202"], 1),
        (["--select", "GT9"], 2),
        (["--format", "yaml"], 2),
        (["--output", "json"], 2),
        (["--shard", "3/2"], 2),
        (["--spec", "affine"], 2),
        (["--format", "gradescope"], 2),
        (["--output", "json=missing/folder/x.json"], 2),
    ],
)
def test_exit_codes(options: list[str], code: int, course: Path, capsys: Captured) -> None:
    assert main(["lint", "course", "--assignment", "hw1.yaml", *options]) == code
    err = capsys.readouterr().err
    assert ("gradtool: " in err) == (code == 2)
    assert "Traceback" not in err


def test_a_clean_class_exits_with_zero(course: Path) -> None:
    (course / "dan.py").unlink()
    (course / "eve.py").unlink()
    assert main(["lint", "course", "--assignment", "hw1.yaml"]) == 0


def test_mistakes_in_the_assignment_have_a_place(course: Path, capsys: Captured) -> None:
    Path("hw1.yaml").write_text(ASSIGNMENT.replace("spec: affine", "spec: afine"))
    assert main(["lint", "course", "--assignment", "hw1.yaml"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("hw1.yaml:4:11: there is no bundled layer and no file called 'afine'")
    assert "did you mean 'affine'?" in err
    assert main(["lint", "course", "--assignment", "none.yaml"]) == 2
    assert "`gradtool init --assignment` writes a first one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("spec: affine", "spec: a/b.yaml", "4:11: there is no file 'a/b.yaml' here"),
        ("spec: affine", "spec: affine.yaml", "4:11: there is no file 'affine.yaml' here"),
        ("spec: affine", f"spec: {'a' * 300}", "4:11: there is no bundled layer and no file"),
        (
            "points: 4",
            "credit: {X: 1, forwad: 2}",
            "6:20: credit: affine has no gradient of forwad",
        ),
        ("points: 4", "credit: {dX: 1}", "6:14: credit: affine has no gradient of dX"),
        ("points: 4", "probes: [{M: 2}]", "6:13: probes: affine has no size M"),
        ("limits:", "libraries: [numpi]\nlimits:", "7:13: libraries: there is no package numpi"),
    ],
)
def test_what_the_spec_does_not_have_has_its_own_place(
    old: str, new: str, problem: str, course: Path, capsys: Captured
) -> None:
    Path("hw1.yaml").write_text(ASSIGNMENT.replace(old, new))
    assert main(["lint", "course", "--assignment", "hw1.yaml"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"hw1.yaml:{problem}")
    assert err.count("hw1.yaml:") == 1


def test_a_spec_is_never_taken_from_where_the_command_is_called(
    course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a check-out of a submission it may be the submission's, and easier."""
    easier = "layer: affine\ninputs:\n  X: [N, D]\nforward: |\n  Y = X\n"
    for name in ("affine", "affine.yaml"):
        (course / name).write_text(easier)
    (course / "fay.py").write_text(
        "def forward(X):\n    return X, ()\ndef backward(dY, _):\n    return dY\n"
    )
    monkeypatch.chdir(course)
    assert main(["lint", "fay.py", "--assignment", "../hw1.yaml"]) == 1
    Path("../hw1.yaml").write_text(ASSIGNMENT.replace("spec: affine", "spec: affine.yaml"))
    assert main(["lint", "fay.py", "--assignment", "../hw1.yaml"]) == 2
    Path("../affine.yaml").write_text(easier)
    assert main(["lint", "fay.py", "--assignment", "../hw1.yaml"]) == 0


def test_a_wrong_gradient_is_not_taken_for_a_difference(course: Path, capsys: Captured) -> None:
    """Of a linear layer a difference is lost where its variable is large; what is wrong is so
    everywhere.  The loss is there to move entry by entry, as differences do.
    """
    loss = """\
def loss(scores, y):
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    for i in range(len(y)):
        p[i, y[i]] = p[i, y[i]] - 1
    return 0.0, p
"""
    (course / "dan.py").write_text(WRONG.replace("X.T @ dY", "X.T @ dY / len(X)") + loss)
    (one,) = graded(capsys, "course/dan.py", "--assignment", "hw1.yaml")["submissions"]
    findings = one["questions"][0]["findings"]
    assert {finding["code"] for finding in findings if finding["level"] == "error"} == {"GT202"}
    assert one["points"] > 0


TWO = """\
assignment: hw1
questions:
  - {spec: affine, points: 4}
  - {spec: relu, points: 2}
"""
RELU = """\
def relu_forward(Z):
    return np.maximum(Z, 0), Z
def relu_backward(dout, cache):
    return dout * (cache > 0)
"""


def test_points_are_told_by_question(course: Path, capsys: Captured) -> None:
    Path("hw1.yaml").write_text(TWO)
    for name in ("ann", "dan"):
        with (course / f"{name}.py").open("a") as file:
            file.write(RELU)
    (course / "eve.py").write_text("def f(:\n")
    assert main(["lint", "course", "--assignment", "hw1.yaml", "--select", "GT1,GT2"]) == 1
    out = capsys.readouterr().out
    assert "ok   ann.py  6 of 6\nFAIL bea.py  4 of 6\n       relu (0 of 2): GT105 " in out
    assert "FAIL dan.py  4 of 6\n       affine (2 of 4): GT202 dW" in out
    # What is the same in every question is told once.
    assert "FAIL eve.py  0 of 6\n       every question: GT103 Python cannot read this file" in out
    assert out.count("GT103 Python") == 1
    assert (
        "\n\nby question: right, and points on the average\n"
        "       affine  3 of 5  2.80 of 4\n"
        "       relu    2 of 5  0.80 of 2\n\n"
    ) in out
    assert "1 of 5 right, 3.60 of 6 points on the average, seed " in out
    main(["lint", "course", "--assignment", "hw1.yaml", "--format", "markdown"])
    page = capsys.readouterr().out
    assert "| affine   | 3 of 5 |             2.80 of 4 |\n" in page
    assert "### dan.py\n\n- affine (2 of 4): GT202 dW" in page


def test_who_is_not_right_is_not_said_to_be_so_where_it_is_not_told_why(
    course: Path, capsys: Captured
) -> None:
    assert main(["lint", "course", "--assignment", "hw1.yaml", "--select", "GT1"]) == 0
    out = capsys.readouterr().out
    assert "ok   cid.py  4 of 4\n-    dan.py  2 of 4\n" in out
    assert "3 of 5 right" in out
    # Without points, what is not chosen does not count.
    assert main(["lint", "course", "--spec", "affine", "--select", "GT1"]) == 0
    out = capsys.readouterr().out
    assert "ok   course/dan.py\n" in out
    assert "5 of 5 right" in out
    report = graded(capsys, "course", "--spec", "affine", "--select", "GT1")
    assert all(one["passed"] and one["questions"][0]["passed"] for one in report["submissions"])
    report = graded(capsys, "course", "--assignment", "hw1.yaml", "--select", "GT1")
    assert [one["passed"] for one in report["submissions"]] == [True, True, True, False, False]


def test_statistics_count_codes(course: Path, capsys: Captured) -> None:
    assert main(["lint", "course", "--assignment", "hw1.yaml", "--statistics"]) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first.split()[:2] == ["4", "GT202"]


def test_several_reports_at_once(course: Path, capsys: Captured) -> None:
    outputs = ["sarif=a.sarif", "junit=b.xml", "csv=c.csv", "markdown=d.md"]
    options = [option for text in outputs for option in ("--output", text)]
    assert main(["lint", "course", "--assignment", "hw1.yaml", *options]) == 1
    assert json.loads(Path("a.sarif").read_text())["version"] == "2.1.0"
    assert Path("b.xml").read_text().startswith("<?xml")
    assert Path("c.csv").read_text().count("\n") == 6
    assert Path("d.md").read_text().startswith("# Homework one")
    assert "ok   ann.py" in capsys.readouterr().out


def test_shards_joined_are_the_whole_run(course: Path, capsys: Captured) -> None:
    common = ["course", "--assignment", "hw1.yaml", "--seed", "3"]
    whole = graded(capsys, *common)
    for number in (1, 2):
        place = f"part{number}.jsonl"
        options = ["--shard", f"{number}/2", "--results", place, "--exit-zero"]
        assert main(["lint", *common, *options]) == 0
    capsys.readouterr()
    assert main(["merge", "part1.jsonl", "part2.jsonl", "--format", "json"]) == 1
    joined = json.loads(capsys.readouterr().out)
    for report in (whole, joined):
        for one in report["submissions"]:
            for key in ("seconds", "cpu_seconds", "peak_bytes"):
                del one[key]
    assert joined == whole
    assert main(["merge", "part1.jsonl"]) == 2
    assert "the results of shard 2/2 are missing" in capsys.readouterr().err


def test_only_what_changed_is_run_again(
    course: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ["course", "--assignment", "hw1.yaml", "--results", "kept.jsonl"]
    first = graded(capsys, *common)
    ran: list[str] = []
    original = run.grade_all

    def watched(*arguments: Any) -> Any:
        for done in original(*arguments):
            if not done.kept:
                ran.append(done.graded.name)
            yield done

    monkeypatch.setattr(lint_command, "grade_all", watched)
    assert points(graded(capsys, *common)) == points(first)
    assert ran == []
    (course / "dan.py").write_text(RIGHT)
    assert points(graded(capsys, *common)) == {**points(first), "dan.py": 4.0}
    assert ran == ["dan.py"]
    graded(capsys, *common, "--fresh")
    assert len(ran) == 6


def test_an_interrupted_run_goes_on(
    course: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ["course", "--assignment", "hw1.yaml", "--results", "kept.jsonl", "--seed", "3"]
    whole = points(graded(capsys, *common, "--fresh"))
    original = run.grade_all

    def interrupted(*arguments: Any) -> Any:
        for number, done in enumerate(original(*arguments)):
            if number == 2:
                raise KeyboardInterrupt
            yield done

    with monkeypatch.context() as patch:
        patch.setattr(lint_command, "grade_all", interrupted)
        assert main(["lint", *common, "--fresh"]) == 130
    capsys.readouterr()
    assert points(graded(capsys, *common)) == whole


def test_an_interrupt_says_what_is_there(
    course: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    grade = Case.grade
    calls = 0

    def interrupted(self: Case, bench: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return grade(self, bench)

    monkeypatch.setattr(Case, "grade", interrupted)
    arguments = ["lint", "course", "--assignment", "hw1.yaml", "--jobs", "1"]
    assert main(arguments) == 130
    said = capsys.readouterr().err
    assert said == "interrupted: 2 of 5 are graded; the same command goes on from there\n"
    assert main(arguments) == 1
    assert " of 5 results are kept from an earlier run (--fresh " in capsys.readouterr().err


def test_what_is_not_graded_is_told(course: Path, capsys: Captured) -> None:
    (course / "Ernst, Zoë.zip").touch()
    (course / "hw1.yaml").write_text(ASSIGNMENT)
    assert main(["lint", "course", "--assignment", "course/hw1.yaml"]) == 1
    assert capsys.readouterr().err == (
        "warning: Ernst, Zoë.zip is no Python file, notebook or folder and was not graded\n"
        "Unpack each archive into a folder of its own to have it graded.\n"
    )


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        (
            ["top"],
            "Is top the folder of all submissions, with a file or a folder for each student?",
        ),
        (["course", "other"], "Several paths are a submission each: to grade a folder of them, "),
    ],
)
def test_a_folder_that_is_not_that_of_all_submissions_is_told(
    paths: list[str], told: str, course: Path, capsys: Captured
) -> None:
    for folder in ("top/students", "other"):
        shutil.copytree(course, folder)
    assert main(["lint", *paths, "--assignment", "hw1.yaml"]) == 1
    found = capsys.readouterr().err
    assert found.startswith("warning: no submission has a file that could be opened\n")
    assert told in found
    main(["lint", "course", "--assignment", "hw1.yaml"])
    assert capsys.readouterr().err == ""


def test_an_archive_that_is_named_is_to_be_unpacked(course: Path, capsys: Captured) -> None:
    (course / "ann.zip").write_bytes(b"PK\x03\x04\x86")
    assert main(["lint", "course/ann.zip", "--assignment", "hw1.yaml"]) == 1
    told = "GT101 expected a file layers.py or *.py, found only ann.zip; unpack the archive"
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "arguments", "told"),
    [
        (
            (),
            ("hand-ins", "--assignment", "hw1.yaml"),
            "gradtool: there is no submission in hand-ins\n"
            "expected a Python file, a notebook or a folder for each student\n",
        ),
        (
            ("ann.zip", "notes.txt", ".hw.py"),
            ("hand-ins", "--assignment", "hw1.yaml", "--format", "json"),
            "gradtool: there is no submission in hand-ins; what is there is ann.zip, notes.txt\n"
            "expected a Python file, a notebook or a folder for each student; unpack each archive "
            "into a folder of its own\n",
        ),
        (
            ("notes.txt",),
            ("hand-ins", "empty", "--spec", "affine"),
            "gradtool: there is no Python file or notebook in hand-ins, empty\n"
            "give the files to check, or a folder that holds them\n",
        ),
    ],
)
def test_nothing_to_grade_is_no_success(
    names: tuple[str, ...], arguments: tuple[str, ...], told: str, course: Path, capsys: Captured
) -> None:
    Path("empty").mkdir()
    Path("hand-ins").mkdir()
    for name in names:
        Path("hand-ins", name).touch()
    assert main(["lint", *arguments]) == 2
    found = capsys.readouterr()
    assert (found.out, found.err) == ("", told)


def test_a_part_of_a_small_class_may_be_empty(course: Path, capsys: Captured) -> None:
    arguments = ["course", "--assignment", "hw1.yaml", "--shard", "9/9"]
    assert main(["lint", *arguments]) == 0
    assert "no submission is in this part" in capsys.readouterr().out


def test_a_file_that_goes_away_during_a_run_costs_nobody_else(
    course: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    grade = Case.grade

    def vanishing(self: Case, bench: Any) -> Any:
        (course / "eve.py").unlink(missing_ok=True)
        return grade(self, bench)

    monkeypatch.setattr(Case, "grade", vanishing)
    report = graded(capsys, "course", "--assignment", "hw1.yaml", "--jobs", "1")
    expected = {"ann.py": 4.0, "bea.py": 4.0, "cid.py": 4.0, "dan.py": 2.0, "eve.py": 0.0}
    assert points(report) == expected
    told = report["submissions"][-1]["questions"][0]["findings"][0]["message"]
    assert told == "eve.py: it cannot be read: No such file or directory"


def test_what_gradtool_fails_at_costs_nobody_else_a_grade(
    course: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect of the judge's that one submission meets, here in what looks for causes."""
    asked = Causes.told

    def fails(self: Causes, question: str, reference: Any, judgement: Judgement) -> Judgement:
        if judgement.verdict.file == "dan.py":
            raise TypeError("\x1b[31m of a submission")
        return asked(self, question, reference, judgement)

    monkeypatch.setattr(Causes, "told", fails)
    common = ["course", "--assignment", "hw1.yaml", "--results", "r.jsonl", "--exit-zero"]
    assert main(["lint", *common, "--format", "json"]) == 3
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert points(report) == {"ann.py": 4, "bea.py": 4, "cid.py": 4, "dan.py": 0, "eve.py": 2}
    (dan,) = (one for one in report["submissions"] if one["name"] == "dan.py")
    (finding,) = dan["questions"][0]["findings"]
    assert finding["code"] == "GT111"
    expected = r"gradtool failed: TypeError in desk\.py line \d+: \\x1b\[31m of a submission"
    assert re.fullmatch(expected, finding["message"])
    assert "a submission was not graded: this is a bug in gradtool" in captured.err
    assert main(["merge", "r.jsonl", "--ignore", "GT"]) == 3


def test_a_file_that_never_ends_says_so(course: Path, capsys: Captured) -> None:
    (course / "fay.py").write_text("while True: pass\n")
    limits = "limits: {seconds: 1}"
    Path("hw1.yaml").write_text(ASSIGNMENT.replace("limits: {seconds: 5}", limits))
    report = graded(capsys, "course/fay.py", "--assignment", "hw1.yaml")
    told = report["submissions"][0]["questions"][0]["findings"][0]["message"]
    assert "it defines no function; importing as it is: no answer within 0.5 s" in told


def test_a_report_that_cannot_be_written_is_told_at_once(course: Path, capsys: Captured) -> None:
    arguments = ["lint", "course", "--assignment", "hw1.yaml", "--output", "csv=none/grades.csv"]
    assert main(arguments) == 2
    assert "there is no folder none" in capsys.readouterr().err
    assert not Path("cache/lint").exists()


def test_a_report_that_may_not_be_written_is_told_at_once(
    course: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system that is mounted for reading only; a superuser may all else."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != Path("."))
    command = ["lint", "course", "--assignment", "hw1.yaml", "--output", "csv=grades.csv"]
    assert main(command) == 2
    assert "grades.csv cannot be written: it may not be written" in capsys.readouterr().err
    assert not Path("cache/lint").exists()


def test_a_report_that_fails_takes_no_other_along(course: Path, capsys: Captured) -> None:
    outputs = ("json=/dev/full", "csv=grades.csv")
    options = [word for output in outputs for word in ("--output", output)]
    assert main(["lint", "course", "--assignment", "hw1.yaml", *options]) == 2
    captured = capsys.readouterr()
    assert "3 of 5 right" in captured.out
    assert "--output: /dev/full cannot be written: No space left on device" in captured.err
    assert Path("grades.csv").read_text().count("\n") == 6


@pytest.mark.parametrize("form", ["csv", "junit", "markdown"])
def test_a_report_for_programs_is_the_same_in_every_locale(form: str, course: Path) -> None:
    (course / "Zoë 李.py").write_text(RIGHT)
    command = [sys.executable, "-m", "gradtool", "lint", "course", "--assignment", "hw1.yaml"]
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = subprocess.run(
        [*command, "--format", form, "--output", f"{form}=report"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **plain},
        capture_output=True,
        timeout=120,
    )
    assert ended.returncode == 1, ended.stderr
    assert "Zoë 李.py" in ended.stdout.decode("utf-8")
    assert ended.stdout == Path("report").read_bytes()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["csv=hw1.yaml"], "hw1.yaml cannot be written: it is read by this command"),
        (["csv=course/../hw1.yaml"], "it is read by this command"),
        (["csv=r.jsonl", "--results", "r.jsonl"], "it is read by this command"),
        (["csv=g.csv", "--output", "json=./g.csv"], "two reports cannot be in one file"),
        (["csv=course/ann.py"], "course/ann.py cannot be written: it is part of a submission"),
        (["csv=link"], "link cannot be written: it is read by this command"),
        (["csv=course"], "course cannot be written: it is a folder"),
    ],
)
def test_a_report_takes_no_other_files_place(
    options: list[str], told: str, course: Path, capsys: Captured
) -> None:
    Path("link").symlink_to("hw1.yaml")
    before = {path: path.read_text() for path in (*course.iterdir(), Path("hw1.yaml"))}
    assert main(["lint", "course", "--assignment", "hw1.yaml", "--output", *options]) == 2
    assert told in capsys.readouterr().err
    assert {path: path.read_text() for path in before} == before
    assert not Path("cache/lint").exists()


def test_reports_may_stand_in_a_submission_and_go_to_a_device(course: Path) -> None:
    arguments = ["lint", "course/ann.py", "--assignment", "hw1.yaml", "--output"]
    assert main([*arguments, "csv=course/g.csv", "--output", "json=/dev/null"]) == 0
    assert main([*arguments, "csv=/dev/null", "--output", "json=/dev/null"]) == 0
    assert Path("course/g.csv").read_text().startswith("submission,")


def test_a_report_takes_no_shards_place(course: Path, capsys: Captured) -> None:
    common = ["lint", "course", "--assignment", "hw1.yaml", "--results", "1.jsonl"]
    assert main(common) == 1
    assert main(["merge", "1.jsonl", "--output", "csv=1.jsonl"]) == 2
    assert "1.jsonl cannot be written: it is read by this command" in capsys.readouterr().err
    assert main(["merge", "1.jsonl"]) == 1


@pytest.mark.parametrize(
    ("files", "file", "points"),
    [
        ({"helper.py": "x = 1\n"}, "hw.ipynb", 4),
        ({"helper.py": "def mean(a):\n    return a.mean()\n"}, "hw.ipynb", 4),
        ({"helper.py": WRONG}, "helper.py", 2),  # it is an answer
        ({"helper.py": "def f(:\n"}, "helper.py", 0),
        ({"one.py": "x = 1\n", "two.py": "x = 1\n"}, "", 0),
    ],
)
def test_a_helper_beside_a_notebook_is_not_taken_for_the_answer(
    files: dict[str, str], file: str, points: float, course: Path, capsys: Captured
) -> None:
    (course / "pia").mkdir()
    for name, text in {**files, "hw.ipynb": notebook((RIGHT, []))}.items():
        (course / "pia" / name).write_text(text)
    Path("hw1.yaml").write_text(ASSIGNMENT.replace('    file: [layers.py, "*.py"]\n', ""))
    report = graded(capsys, "course/pia", "--single", "--assignment", "hw1.yaml")
    (one,) = report["submissions"]
    assert (one["points"], one["questions"][0]["file"]) == (points, file)


def test_files_of_a_project_are_linted_without_an_assignment(
    course: Path, capsys: Captured
) -> None:
    assert main(["lint", "course", "--spec", "affine"]) == 1
    out = capsys.readouterr().out
    assert "FAIL course/dan.py" in out
    assert "points" not in out
    assert main(["lint", "course/ann.py", "--spec", "affine"]) == 0
    assert main(["lint", "course/ann.py"]) == 2
    assert "Give --assignment FILE or --spec LAYER" in capsys.readouterr().err
    assert main(["lint", "nowhere", "--spec", "affine"]) == 2


def test_pyproject_says_what_is_always_said(course: Path, capsys: Captured) -> None:
    Path("pyproject.toml").write_text('[tool.gradtool]\nspec = ["affine"]\nignore = ["GT202"]\n')
    assert main(["lint", "course"]) == 0
    assert main(["lint", "course", "--ignore", "GT3"]) == 1
    Path("pyproject.toml").write_text('[tool.gradtool]\nasignment = "hw1.yaml"\n')
    assert main(["lint", "course"]) == 2
    assert "unknown key 'asignment'" in capsys.readouterr().err
    Path("pyproject.toml").write_text('[tool.gradtool]\nassignment = "hw1.yaml"\njobs = 1\n')
    assert main(["lint", "course"]) == 1


@pytest.mark.parametrize(
    "text",
    [
        '[tool.gradtool]\nignore = ["GT"]\nrequire-sandbox = false\n',
        "[tool.gradtool]\njobs = 0\n",
        "this is no TOML",
    ],
)
def test_a_submission_does_not_say_how_it_is_graded(
    text: str, course: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a check-out of it, in which a teacher's own assignment is called."""
    (course / "pyproject.toml").write_text(text)
    monkeypatch.chdir(course)
    command = ["lint", "dan.py", "--single", "--assignment", "../hw1.yaml"]
    assert main(command) == 1
    assert "FAIL dan.py" in capsys.readouterr().out
    Path("../pyproject.toml").write_text('[tool.gradtool]\nignore = ["GT"]\n')
    assert main(command) == 0, "what stands beside the assignment is the teacher's"
    Path("../pyproject.toml").write_text("[tool.gradtool]\njobs = 0\n")
    assert main(command) == 2
    assert "jobs: expected at least 1, found 0" in capsys.readouterr().err


def test_without_a_sandbox_ci_refuses_and_others_are_warned(
    course: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = ("landlock", "seccomp", "namespaces", "privileges")
    monkeypatch.setattr(preparation, "Setup", partial(Setup, layers_off=off))
    common = ["lint", "course", "--assignment", "hw1.yaml"]
    assert main(common) == 1
    captured = capsys.readouterr()
    assert "not safe for files that you do not trust" in captured.err
    assert "NOT guarded: " in captured.out
    assert not Path("cache/lint").exists()  # a submission could have forged results there
    monkeypatch.setenv("CI", "true")
    assert main(common) == 2
    assert "the submissions were not run: nothing guards" in capsys.readouterr().err
    assert main([*common, "--no-require-sandbox"]) == 1


def test_github_gets_annotations_and_a_page(
    course: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "page.md")
    assert main(["lint", "course", "--assignment", "hw1.yaml", "--format", "github"]) == 1
    assert "::error file=course/dan.py,line=8,title=GT202 affine::" in capsys.readouterr().out
    assert Path("page.md").read_text().startswith("# Homework one")


def test_libraries_that_are_not_granted_are_not_there(course: Path, capsys: Captured) -> None:
    text = (
        "import scipy.special\n"
        + HEAD
        + FORWARD
        + "def affine_backward(dY, cache):\n    return scipy.special.expit(dY)\n"
    )
    (course / "ann.py").write_text(text)
    report = graded(capsys, "course/ann.py", "--assignment", "hw1.yaml")
    codes = [f["code"] for f in report["submissions"][0]["questions"][0]["findings"]]
    assert codes in (["GT106"], ["GT105"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence ({file} line 1)"),
        ("import sys\nsys.exit(3)", "SystemExit: 3 ({file} line 2)"),
        ("def f(:", "SyntaxError: invalid syntax ({file} line 1)"),
    ],
)
def test_a_library_that_cannot_be_imported_is_told_where_it_is_granted(
    text: str, told: str, course: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path("site/broken_library/__init__.py").resolve()
    file.parent.mkdir(parents=True)
    file.write_text(text)
    monkeypatch.syspath_prepend(file.parents[1])
    Path("hw1.yaml").write_text(ASSIGNMENT + "libraries: [broken_library]\n")
    assert main(["lint", "course", "--assignment", "hw1.yaml"]) == 2
    assert capsys.readouterr().err == (
        f"hw1.yaml:8:13: libraries: broken_library cannot be imported: {told.format(file=file)}\n"
        "    libraries: [broken_library]\n"
        "                ^^^^^^^^^^^^^^\n"
        "    mend it where gradtool is installed, or take it from the list\n"
    )


def test_a_library_that_ends_the_interpreter_is_named(
    course: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path("site/ending_library.py").resolve()
    file.parent.mkdir()
    file.write_text("import os\nos._exit(0)\n")
    monkeypatch.syspath_prepend(file.parent)
    Path("hw1.yaml").write_text(ASSIGNMENT + "libraries: [numpy, ending_library]\n")
    assert main(["lint", "course", "--assignment", "hw1.yaml"]) == 2
    assert capsys.readouterr().err == (
        "gradtool: no worker could be started: their interpreter ended while it started\n"
        "it may be a library of the assignment: see whether Python imports ending_library\n"
    )


@pytest.mark.parametrize("most", [8, 64])
def test_a_limit_of_open_files_that_is_too_low_is_told(most: int, course: Path) -> None:
    command = [sys.executable, "-m", "gradtool", "lint", "course", "--assignment", "hw1.yaml"]
    ended = subprocess.run(
        ["sh", "-c", f'ulimit -n {most}; exec "$@"', "sh", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        2,
        "",
        "gradtool: no worker could be started: their interpreter did not start: "
        f"it needs more than {most} open files; allow more: ulimit -n 1024\n",
    )


def test_a_low_limit_of_open_files_is_raised(course: Path) -> None:
    command = [sys.executable, "-m", "gradtool", "lint", "course", "--assignment", "hw1.yaml"]
    ended = subprocess.run(
        ["sh", "-c", 'ulimit -Sn 20; exec "$@"', "sh", *command, "--jobs", "16"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ended.returncode, ended.stderr) == (1, "")


def test_a_file_that_is_not_read_in_time_may_be_python(
    course: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise WorkerLost("timeout", "no answer within 5 s")

    monkeypatch.setattr(Desk, "_ask", lost)
    monkeypatch.setattr(Desk, "_end", lambda _: "timeout")
    (one,) = graded(capsys, "course/ann.py", "--assignment", "hw1.yaml")["submissions"]
    (finding,) = one["questions"][0]["findings"]
    assert (finding["code"], finding["message"]) == (
        "GT107",
        "parsing the file: no answer within 5 s",
    )


def test_a_backward_pass_without_its_forward_pass_is_told_so(
    course: Path, capsys: Captured
) -> None:
    (course / "ann.py").write_text(HEAD + RIGHT_BACKWARD)
    assert main(["lint", "course/ann.py", "--assignment", "hw1.yaml"]) == 1
    out = capsys.readouterr().out
    assert "GT105 affine_backward: no forward pass belongs to it by its name; by itself, " in out
    (course / "ann.py").write_text(HEAD + FORWARD.replace("X, W, b", "a, c, d") + RIGHT_BACKWARD)
    main(["lint", "course/ann.py", "--assignment", "hw1.yaml"])
    assert "belongs to it" not in capsys.readouterr().out


def test_what_answers_one_question_is_not_taken_for_another(course: Path, capsys: Captured) -> None:
    two = ASSIGNMENT.replace("    points: 4\n", "    points: 4\n  - spec: batch_norm\n")
    Path("hw2.yaml").write_text(two)
    report = graded(capsys, "course/ann.py", "--assignment", "hw2.yaml")
    affine, norm = report["submissions"][0]["questions"]
    assert affine["passed"]
    (finding,) = norm["findings"]
    assert finding["code"] == "GT105"
    assert "ann.py has no function for the layer batch_norm" in finding["message"]


def test_what_could_be_meant_in_two_ways_gets_no_points_and_says_why(
    course: Path, capsys: Captured
) -> None:
    """A softmax over the samples is right with samples in columns, which the spec has not."""
    Path("hw2.yaml").write_text(ASSIGNMENT.replace("affine", "softmax"))
    (course / "sue.py").write_text("""
import numpy as np
def softmax_forward(Z):
    E = np.exp(Z - Z.max(axis=0))
    P = E / E.sum(axis=0)
    return P, P
def softmax_backward(dP, P):
    return P * (dP - (dP * P).sum(axis=0))
""")
    (sue,) = graded(capsys, "course/sue.py", "--assignment", "hw2.yaml")["submissions"]
    (finding,) = sue["questions"][0]["findings"]
    assert (finding["code"], sue["points"], sue["passed"]) == ("GT207", 0, False)
    assert "with one sample per column, everything is right" in finding["message"]


def notebook(*cells: tuple[str, list[str]]) -> str:
    """A notebook with code cells and their tags."""
    listed = [
        {"cell_type": "code", "source": text, "metadata": {"tags": tags}, "outputs": []}
        for text, tags in cells
    ]
    return json.dumps({"cells": listed, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


TAGGED = """\
assignment: tagged
questions:
  - {name: first, spec: affine, file: "*.ipynb", cell: q1}
  - {name: second, spec: affine, file: "*.ipynb", cell: q2}
"""


ONE_TAG = """\
assignment: tagged
questions:
  - {spec: affine, file: "*.ipynb", cell: q2, points: 4}
limits: {seconds: 5}
"""


def test_a_question_is_answered_by_the_cells_with_its_tag(course: Path, capsys: Captured) -> None:
    """The same names in two cells: each question sees its own, whichever comes last."""
    (course / "nb").mkdir()
    cells = [(HEAD, []), (RIGHT, ["q1"]), (WRONG, ["other", "q2"]), ("1 / 0\n", [])]
    (course / "nb" / "right_first.ipynb").write_text(notebook(*cells))
    (course / "nb" / "wrong_first.ipynb").write_text(
        notebook(cells[0], (WRONG, ["q1"]), (RIGHT, ["q2"]))
    )
    (course / "nb" / "untagged.ipynb").write_text(notebook((RIGHT, ["q1"])))
    Path("tagged.yaml").write_text(TAGGED)
    report = graded(capsys, "course/nb", "--assignment", "tagged.yaml")
    passed = {
        one["name"]: [question["passed"] for question in one["questions"]]
        for one in report["submissions"]
    }
    assert passed == {
        "right_first.ipynb": [True, False],
        "untagged.ipynb": [True, False],
        "wrong_first.ipynb": [False, True],
    }
    by_name = {one["name"]: one["questions"] for one in report["submissions"]}
    told = [f["message"] for f in by_name["untagged.ipynb"][1]["findings"]]
    assert "no code cell has the tag 'q2'; the tags are q1" in told[0]
    lines = [f["line"] for f in by_name["wrong_first.ipynb"][0]["findings"]]
    assert lines == [8, 8]


def test_what_stands_behind_the_cells_of_a_question_is_not_imported_for_it(
    course: Path, capsys: Captured
) -> None:
    """To compare with a framework may be the next task."""
    (course / "nb").mkdir()
    right, torch = (RIGHT, ["q1"]), ("import torch\n", ["q2"])
    (course / "nb" / "behind.ipynb").write_text(notebook(right, torch))
    (course / "nb" / "before.ipynb").write_text(notebook(torch, right))
    Path("tagged.yaml").write_text(TAGGED)
    report = graded(capsys, "course/nb", "--assignment", "tagged.yaml")
    first = {one["name"]: one["questions"][0] for one in report["submissions"]}
    assert first["behind.ipynb"]["passed"]
    told = [finding["message"] for finding in first["before.ipynb"]["findings"]]
    assert told[0] == "imports torch"


BASE = """\
class Layer:
    def forward(self, X):
        self.X = X
        return X @ self.W + self.b
"""
DERIVED = """\
class Affine(Layer):
    def __init__(self, W, b):
        self.W, self.b = W, b

    def backward(self, dY):
        self.dW, self.db = self.X.T @ dY, dY.sum(axis=0)
        return dY @ self.W.T
"""
OTHER_NAMES = "def step(a, c):\n    return a + c, c\n"
BROKEN = "def affine_backward(:\n"


@pytest.mark.parametrize(
    ("cells", "points", "told"),
    [
        ([(HEAD + FORWARD, ""), (RIGHT_BACKWARD, "q2")], 4, ""),
        ([(HEAD + FORWARD, "hidden"), (RIGHT_BACKWARD, "q2")], 4, ""),
        ([(HEAD + BASE, ""), (DERIVED, "q2")], 4, ""),
        ([(HEAD + FORWARD, ""), (WRONG_BACKWARD, "q2")], 2, "dW"),
        # What stands before is nobody's answer, however right it is.
        ([(RIGHT, ""), (OTHER_NAMES, "q2")], 0, "return a + c"),
        ([(RIGHT, ""), ("def show(a):\n    return a\n", "q2")], 0, "no forward and backward"),
        ([(RIGHT, "q1"), ("x = 1\n", "q2")], 0, "it defines no function"),
        ([(RIGHT, "q1"), (FORWARD, "q2")], 0, "affine_forward"),
        ([(RIGHT, "q1"), (BROKEN, "q2")], 0, "Python cannot read ann.ipynb cell 2"),
    ],
)
def test_what_stands_before_the_cells_of_a_question_helps_and_is_no_answer(
    cells: list[tuple[str, str]], points: float, told: str, course: Path, capsys: Captured
) -> None:
    listed = [(text, [tag] if tag else []) for text, tag in cells]
    (course / "ann.ipynb").write_text(notebook(*listed))
    Path("tagged.yaml").write_text(ONE_TAG)
    (one,) = graded(capsys, "course/ann.ipynb", "--assignment", "tagged.yaml")["submissions"]
    (question,) = one["questions"]
    assert one["points"] == points
    messages = [f["message"] for f in question["findings"] if f["level"] == "error"]
    assert bool(messages) == (points < 4)
    assert told in " ".join(messages)


@pytest.mark.parametrize(
    ("backward", "told"),
    [
        (WRONG_BACKWARD, r"GT202 d\w.* \(cell 2 line [2-6]\)"),
        ("def affine_backward(dY, cache):\n    return dY @ gone\n", r"GT106 .* \(cell 2 line 2\)"),
        ("def affine_backward(dY, cache):\n    pass\n", r"GT206 .* \(cell 2 line \d\)"),
    ],
)
def test_a_line_of_a_notebook_is_told_with_its_cell(
    backward: str, told: str, course: Path, capsys: Captured
) -> None:
    (course / "ann.ipynb").write_text(notebook((HEAD + FORWARD, []), (backward, [])))
    assert main(["lint", "course/ann.ipynb", "--assignment", "hw1.yaml"]) == 1
    assert re.search(told, capsys.readouterr().out)


DIFFERENCES = """\
def affine_backward(dY, cache):
    step = 1e-5
    def slope(k):
        found = np.zeros_like(cache[k])
        for i in np.ndindex(found.shape):
            ends = []
            for move in (step, -step):
                given = [np.array(a, copy=True) for a in cache]
                given[k][i] += move
                ends.append((affine_forward(*given)[0] * dY).sum())
            found[i] = (ends[0] - ends[1]) / (2 * step)
        return found
    return slope(0), slope(1), slope(2)
"""


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (
            ["# Task 1", "import torch.nn\n", "import torch, jax\n" + RIGHT],
            [("imports torch", "cell 2", 1), ("imports jax", "cell 3", 1)],
        ),
        (
            [HEAD + FORWARD, DIFFERENCES],
            [("one backward pass calls", "cell 2", 1), ("differentiates numerically", "cell 2", 1)]
            + [(f"{name}: it is a ", "cell 2", 1) for name in ("dX", "dW", "db")],
        ),
        (
            [HEAD + FORWARD, "import sys\n" + RIGHT_BACKWARD.replace("    X,", "    OFF\n    X,")],
            [("the profiler was switched off while the code ran", "cell 2", 2)],
        ),
    ],
)
def test_forbidden_means_are_told_once_and_with_their_cell(
    cells: list[str], told: list[tuple[str, str, int]], course: Path, capsys: Captured
) -> None:
    sources = [(text.replace("OFF", "sys.setprofile(None)"), list[str]()) for text in cells]
    (course / "ann.ipynb").write_text(notebook(*sources))
    arguments = ("course/ann.ipynb", "--assignment", "hw1.yaml", "--seed", "1")
    (one,) = graded(capsys, *arguments)["submissions"]
    found = [f for f in one["questions"][0]["findings"] if f["code"].startswith("GT4")]
    assert len(found) == len(told)
    for finding, (message, place, line) in zip(found, told, strict=True):
        assert finding["message"].startswith(message)
        assert (finding["place"], finding["line"]) == (place, line)


def test_a_cell_that_was_left_out_is_told_whatever_else_is_missing(
    course: Path, capsys: Captured
) -> None:
    """Without it the forward pass is taken for a function that returns its gradients, too."""
    cells = [(HEAD + FORWARD, list[str]()), ("def affine_backward(:\n", [])]
    (course / "ann.ipynb").write_text(notebook(*cells))
    assert main(["lint", "course/ann.ipynb", "--assignment", "hw1.yaml"]) == 1
    assert (
        "GT105 Python cannot read ann.ipynb cell 2, which was left out" in capsys.readouterr().out
    )


def test_an_annotation_of_a_cell_is_at_no_line_of_the_notebook(
    course: Path, capsys: Captured
) -> None:
    cells = [(HEAD + FORWARD, list[str]()), (WRONG_BACKWARD, [])]
    (course / "ann.ipynb").write_text(notebook(*cells))
    for command in (
        ["check", "course/ann.ipynb", "--spec", "affine"],
        ["lint", "course/ann.ipynb", "--assignment", "hw1.yaml"],
    ):
        assert main([*command, "--format", "github"]) == 1
        errors = [x for x in capsys.readouterr().out.splitlines() if x.startswith("::error")]
        assert len(errors) == 2
        assert all("file=course/ann.ipynb,title=" in line for line in errors)
        assert all("(cell 2 line 3)" in line for line in errors)


STATED = """
check:
  forward: Y, cache = affine_forward(X, W, b)
  backward: dX, dW, db = affine_backward(dY, cache)
"""


@pytest.mark.parametrize(
    ("cells", "points"),
    [
        ([(RIGHT, "q2")], 4),
        ([(HEAD + FORWARD, ""), (RIGHT_BACKWARD, "q2")], 4),
        ([(RIGHT, "q1"), ("x = 1\n", "q2")], 0),
        ([(RIGHT, "q1"), (FORWARD, "q2")], 0),
        ([(RIGHT, "q1"), (BROKEN, "q2")], 0),
    ],
)
def test_a_stated_call_needs_its_gradients_in_the_cells_of_the_question(
    cells: list[tuple[str, str]], points: float, course: Path, capsys: Captured
) -> None:
    spec = (ROOT / "specs/dense/affine.yaml").read_text()
    Path("mine.yaml").write_text(spec + STATED)
    Path("tagged.yaml").write_text(ONE_TAG.replace("spec: affine", "name: a, spec: mine.yaml"))
    listed = [(text, [tag] if tag else []) for text, tag in cells]
    (course / "ann.ipynb").write_text(notebook(*listed))
    (one,) = graded(capsys, "course/ann.ipynb", "--assignment", "tagged.yaml")["submissions"]
    (question,) = one["questions"]
    codes = {f["code"] for f in question["findings"] if f["level"] == "error"}
    assert (one["points"], codes) == (points, set() if points else {"GT105"})


ONLY_SMALL = (
    HEAD
    + FORWARD
    + """\
def affine_backward(dY, cache):
    X, W, b = cache
    dX, dW, db = dY @ W.T, X.T @ dY, dY.sum(axis=0)
    if len(X) == 37:
        db = db * 2
    return dX, dW, db
"""
)


def test_more_sizes_to_check_at(course: Path, capsys: Captured) -> None:
    (course / "ann.py").write_text(ONLY_SMALL)
    common = ["course/ann.py", "--assignment", "hw1.yaml", "--seed", "3"]
    assert graded(capsys, *common)["submissions"][0]["passed"]
    probes = ASSIGNMENT.replace("    points: 4", "    points: 4\n    probes: [{N: 37}]")
    Path("hw1.yaml").write_text(probes)
    findings = graded(capsys, *common)["submissions"][0]["questions"][0]["findings"]
    (finding,) = [f for f in findings if f["level"] == "error"]
    assert (finding["code"], finding["subject"]) == ("GT202", "db")
    assert "wrong at N=37" in finding["message"]
    assert "(N=37, as the assignment says)" in finding["message"]


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        ("{M: 3}", "probes: affine has no size M; its sizes are N, D, C"),
        ("{N: 90000, D: 90000}", "probes: with N=90000, D=90000 the arrays have"),
    ],
)
def test_sizes_that_the_layer_does_not_have(
    probes: str, message: str, course: Path, capsys: Captured
) -> None:
    text = ASSIGNMENT.replace("    points: 4", f"    points: 4\n    probes: [{probes}]")
    Path("hw1.yaml").write_text(text)
    assert main(["lint", "course", "--assignment", "hw1.yaml"]) == 2
    assert f"hw1.yaml:7:13: {message}" in capsys.readouterr().err


# Slow once in each process, and fast from then on.
SLOW = "import time\nslept = []\n" + RIGHT.replace(
    "    X, W, b = cache",
    "    if not slept: slept.append(time.sleep(1.5))\n    X, W, b = cache",
)


def test_a_question_has_limits_and_forbidden_means_of_its_own(
    course: Path, capsys: Captured
) -> None:
    Path("hw1.yaml").write_text(
        "assignment: own\nquestions:\n"
        "  - {name: short, spec: affine, file: '*.py', limits: {seconds: 1}, forbid: none}\n"
        "  - {name: long, spec: affine, file: '*.py', limits: {seconds: 60}}\n"
    )
    (course / "ann.py").write_text(SLOW)
    (course / "bea.py").write_text("import sympy\n" + RIGHT)
    report = graded(capsys, "course", "--assignment", "hw1.yaml")
    told = {
        one["name"]: [[f["code"] for f in q["findings"]] for q in one["questions"]]
        for one in report["submissions"]
        if one["name"] in ("ann.py", "bea.py")
    }
    assert told["ann.py"][0] == ["GT107"]
    assert "GT107" not in told["ann.py"][1]
    assert told["bea.py"][1][0] == "GT401"
    assert "GT401" not in told["bea.py"][0]


def test_a_seed_is_told_only_where_it_is_that_of_the_results(
    course: Path, capsys: Captured
) -> None:
    """Results that are kept have the seed of the run that graded them."""
    common = ["lint", "course", "--assignment", "hw1.yaml", "--results", "kept.jsonl"]
    (course / "fay").mkdir()  # without a file, so without a seed
    shown = []
    for _ in range(2):
        report = graded(capsys, *common[1:])
        assert main([*common, "--output", "markdown=page"]) == 1
        shown.append((report["seed"], capsys.readouterr().out, Path("page").read_text()))
        (course / "eve.py").write_text(RIGHT)  # handed in once more
        assert {
            question["check"]["seed"] for one in report["submissions"]
            for question in one["questions"] if question["check"]
        } == set(report["seeds"])  # fmt: skip
    (seed, text, page), (several, later, _) = shown
    assert f"points on the average, seed {seed}, " in text
    assert f", seed {seed}, sandbox" in page
    assert several is None
    assert f"points on the average, seeds {min(report['seeds'])}, {max(report['seeds'])}, " in later
    assert seed in report["seeds"]


def test_points_verdict_and_message_agree_where_the_time_was_not_enough(
    course: Path, capsys: Captured
) -> None:
    """What was right until then is told, and decides nothing: not half of the points either."""
    Path("hw1.yaml").write_text(ASSIGNMENT.replace("seconds: 5", "seconds: 1"))
    hangs = "    X, W, b = cache\n    while X.shape[0] == X.shape[1]: pass"
    (course / "ann.py").write_text(RIGHT.replace("    X, W, b = cache", hangs))
    arguments = ["course/ann.py", "--assignment", "hw1.yaml"]
    report = graded(capsys, *arguments, "--output", "github=annotations")
    (ann,) = report["submissions"]
    (question,) = ann["questions"]
    (finding,) = question["findings"]
    assert (ann["points"], question["passed"]) == (0, False)
    assert [part["points"] for part in question["parts"]] == [0, 0, 0, 0]
    assert (finding["code"], finding["line"]) == ("GT107", None)  # forward or backward: not known
    assert finding["message"].endswith(
        "; until then Y, dX, dW, db were right, but not everything was looked at"
    )
    assert "::error file=course/ann.py,title=GT107" in Path("annotations").read_text()
    assert main(["lint", *arguments]) == 1
    assert "FAIL course/ann.py  0 of 4" in capsys.readouterr().out


EVASIVE = """\
import sys
import numpy as np
def affine_forward(X, W, b):
    return X @ W + b, (X, W, b)
def affine_backward(dY, cache):
    X, W, b = cache
    while {large} or {counted}: pass
    return dY @ W.T, X.T @ dY, dY.sum(axis=0)
"""


def test_who_hangs_only_when_calls_are_counted_does_not_pass(
    course: Path, capsys: Captured
) -> None:
    """Who is lost at large values has passed before; whether by permitted means is asked then."""
    Path("hw1.yaml").write_text(ASSIGNMENT.replace("seconds: 5", "seconds: 2"))
    large, counted = "np.abs(X).max() > 300", "sys.getprofile() is not None"
    (course / "ann.py").write_text(EVASIVE.format(large=large, counted="False"))
    (course / "bea.py").write_text(EVASIVE.format(large="False", counted=counted))
    (course / "cid.py").write_text(EVASIVE.format(large=large, counted=counted))
    report = graded(capsys, "course", "--assignment", "hw1.yaml")
    told = {
        one["name"][:3]: (one["points"], {f["code"] for f in one["questions"][0]["findings"]})
        for one in report["submissions"]
    }
    assert told["ann"][0] == 4
    assert not told["ann"][1] & {"GT107", "GT403"}
    for name in ("bea", "cid"):
        assert told[name][0] == 0
        assert "GT403" in told[name][1]


# -- gradtool init -----------------------------------------------------------------------------


def test_init_writes_what_lint_reads(course: Path, capsys: Captured) -> None:
    assert main(["init", "--assignment", "--folder", "new"]) == 0
    assert capsys.readouterr().err == "wrote new/assignment.yaml\n"
    assert main(["lint", "course/ann.py", "--assignment", "new/assignment.yaml"]) == 1
    assert "affine" in capsys.readouterr().out
    assert main(["init", "--assignment", "--folder", "new"]) == 2
    assert "nothing was written" in capsys.readouterr().err
    assert main(["init"]) == 2


@pytest.fixture
def autograder(tmp_path: Path) -> dict[str, str]:
    """Gradescope's folders, and gradtool as its image would have it."""
    (tmp_path / "assignment.yaml").write_text(ASSIGNMENT)
    init_command.run(tmp_path, assignment=False, gradescope=True)
    binary = tmp_path / "gradtool"
    binary.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m gradtool "$@"\n')
    binary.chmod(0o755)
    for name in ("submission", "results"):
        (tmp_path / name).mkdir()
    return {
        **os.environ,
        "GRADTOOL_SOURCE": str(tmp_path / "gradescope"),
        "GRADTOOL_SUBMISSION": str(tmp_path / "submission"),
        "GRADTOOL_RESULTS": str(tmp_path / "results"),
        "GRADTOOL_BIN": str(binary),
    }


def run_autograder(folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    script = folder / "gradescope" / "run_autograder"
    subprocess.run([str(script)], env=environment, check=True, capture_output=True, timeout=120)
    found: dict[str, Any] = json.loads((folder / "results" / "results.json").read_text())
    return found


def test_the_gradescope_folder_grades_one_submission(
    tmp_path: Path, autograder: dict[str, str]
) -> None:
    submission = tmp_path / "submission" / "layers.py"
    submission.write_text(WRONG)
    (tmp_path / "submission" / "notes.py").write_text("")
    wrong = run_autograder(tmp_path, autograder)
    assert (wrong["score"], wrong["tests"][0]["status"]) == (2.0, "failed")
    submission.write_text(RIGHT)
    assert run_autograder(tmp_path, autograder)["score"] == 4.0
    # Whatever goes wrong, there is a result: here the assignment is gone.
    (tmp_path / "gradescope" / "assignment.yaml").unlink()
    assert run_autograder(tmp_path, autograder)["score"] == 0
    for name in ("setup.sh", "run_autograder"):
        subprocess.run(["bash", "-n", str(tmp_path / "gradescope" / name)], check=True)


# -- other tools -------------------------------------------------------------------------------


def test_the_action_runs_its_script(course: Path, capsys: Captured) -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    steps = action["runs"]["steps"]
    script = next(step for step in steps if step.get("name") == "Grade")
    # No expression stands in a script: an input could end the line and begin another.
    assert all("${{" not in step.get("run", "") for step in steps)
    binary = Path("bin/gradtool")
    binary.parent.mkdir()
    binary.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m gradtool "$@"\n')
    binary.chmod(0o755)
    defaults = {
        f"INPUT_{name.upper().replace('-', '_')}": entry["default"]
        for name, entry in action["inputs"].items()
    }
    given = {"INPUT_PATHS": "course\n", "INPUT_ASSIGNMENT": "hw1.yaml", "INPUT_SARIF": "out.sarif"}
    path = f"{binary.parent.resolve()}:{os.environ['PATH']}"
    environment = {
        **os.environ,
        **defaults,
        **given,
        "PATH": path,
        "INPUT_REQUIRE_SANDBOX": "false",
    }
    command = ["bash", "-e", "-o", "pipefail", "-c", script["run"]]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1, ended.stderr
    assert "::error file=course/dan.py" in ended.stdout
    assert json.loads(Path("out.sarif").read_text())["runs"]


def test_the_action_installs_without_the_modules_of_the_check_out(tmp_path: Path) -> None:
    steps = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    (script,) = (step["run"] for step in steps if step.get("name") == "Install gradtool")
    for name in ("pip", "json", "typing"):
        (tmp_path / f"{name}.py").write_text("open('trace', 'w')\nraise SystemExit(7)\n")
    binary = tmp_path / "bin" / "python"
    binary.parent.mkdir()
    binary.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    binary.chmod(0o755)
    environment = {**os.environ, "PATH": f"{binary.parent}:{os.environ['PATH']}"}
    environment = {k: v for k, v in environment.items() if k != "PYTHONSAFEPATH"}
    # Everything but the installation itself, which would need the network.
    asking = script.replace('install --quiet "$ACTION_PATH"', "--version")
    assert asking != script
    command = ["bash", "-e", "-c", asking]
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert not Path("trace").exists()


def test_the_pre_commit_hook_is_a_command_of_ours() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert [hook["id"] for hook in hooks] == ["gradtool"]
    assert {"id", "name", "entry", "language"} <= hooks[0].keys()
    assert hooks[0]["entry"].split() == ["gradtool", "lint"]


def test_every_code_is_explained(capsys: Captured) -> None:
    for rule in RULES.values():
        assert main(["explain", rule.code.lower()]) == main(["explain", rule.name]) == 0
        assert capsys.readouterr().out.startswith(f"{rule.code} {rule.name} (")
    assert main(["explain", "GT999"]) == 2
