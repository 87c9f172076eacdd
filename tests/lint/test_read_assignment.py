"""An assignment says what it says, and every mistake in it is told at once, with its place."""

from __future__ import annotations

from fractions import Fraction

import pytest

from gradtool.lint.assignment import DEFAULT_FILES, FORBIDDEN
from gradtool.lint.isolation.limits import MIB
from gradtool.lint.read_assignment import parse_assignment
from gradtool.report.init_command import ASSIGNMENT
from gradtool.spec.errors import SpecError

FULL = """\
assignment: hw1
title: "Homework: one"
questions:
  - name: a
    title: Affine
    spec: affine
    file: [layers.py, "*.ipynb"]
    function: Affine
    points: 2.5
    credit: {forward: 1, W: 1/2, follows: 0.5}
    cell: q1
    probes:
      - {N: 50, D: 3}
      - {C: 7}
  - spec: specs/mine.yaml
    credit: none
    limits: {seconds: 9}
    forbid: none
limits: {seconds: 2, cpu: 1.5, memory: 256 MB}
libraries: [scipy]
forbid: frameworks
hide-expected: false
explain: false
x-mine: anything
"""


def problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as error:
        parse_assignment(text, "hw.yaml")
    return [f"{p.line}:{p.column}: {p.message}" for p in error.value.problems]


def test_everything_that_can_be_said() -> None:
    found = parse_assignment(FULL, "hw.yaml")
    first, second = found.questions
    assert (found.name, found.title, found.points) == ("hw1", "Homework: one", Fraction(7, 2))
    assert (first.name, first.spec, first.function) == ("a", "affine", "Affine")
    assert first.files == ("layers.py", "*.ipynb")
    assert first.credit.shares == {"forward": 1, "W": Fraction(1, 2)}
    assert (first.credit.kind, first.credit.follows) == ("stated", Fraction(1, 2))
    assert (second.name, second.credit.kind, second.files) == ("mine", "none", DEFAULT_FILES)
    assert (found.limits.wall_seconds, found.limits.cpu_seconds) == (2.0, 1.5)
    assert found.limits.memory_bytes == 256 * MIB
    assert (first.cell, first.probes) == ("q1", ({"N": 50, "D": 3}, {"C": 7}))
    assert (second.cell, second.probes, second.forbidden) == (None, (), ())
    assert found.limits_of(first) is found.limits
    own = found.limits_of(second)
    assert (own.wall_seconds, own.cpu_seconds, own.memory_bytes) == (9.0, 9.0, 256 * MIB)
    assert found.forbidden_in(first) == ("frameworks",)
    assert found.libraries == ("numpy", "scipy")
    assert found.forbidden == ("frameworks",)
    assert (found.hide_expected, found.explain) == (False, False)


def test_what_is_not_said_is_strict() -> None:
    found = parse_assignment("assignment: a\nquestions:\n  - spec: affine\n", "hw.yaml")
    assert found.forbidden == FORBIDDEN
    assert found.hide_expected
    assert found.libraries == ("numpy",)
    assert found.questions[0].points == 1


@pytest.mark.parametrize(("text", "taken"), [("0.1", True), ("86400", True), ("0.0999", False)])
def test_a_limit_may_be_as_low_as_is_said(text: str, taken: bool) -> None:
    limits = f"assignment: a\nquestions:\n  - spec: affine\nlimits: {{seconds: {text}}}\n"
    if taken:
        assert parse_assignment(limits, "hw.yaml").limits.wall_seconds == float(text)
    else:
        assert "expected a number from 0.1 to 86400, found 0.0999" in problems(limits)[0]


def test_the_one_that_init_writes_is_read() -> None:
    assert [q.spec for q in parse_assignment(ASSIGNMENT, "a").questions] == [
        "affine",
        "softmax_cross_entropy",
    ]


def test_probes_are_sets_of_whole_sizes() -> None:
    head = "assignment: a\nquestions:\n  - spec: affine\n    probes: "
    assert problems(head + "5\n")[0].startswith("4:13: probes: ")
    assert problems(head + "[3]\n")[0].startswith("4:14: probes: ")
    assert problems(head + "[{N: 2.5}]\n")[0].startswith("4:18: probes.N: ")
    assert problems(head + "[{N: 0}]\n")[0].startswith("4:18: ")


HEAD = "assignment: a\nquestions:\n  - spec: affine\n"


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("scipy.special", "expected the name of a package, found 'scipy.special'"),
        ("numpy==2.0", "expected the name of a package, found 'numpy==2.0'"),
        ("scikit-learn", "expected the name of a package, found 'scikit-learn'"),
        ("__main__", "expected the name of a package, found '__main__'"),
        ("''", "expected a text, found an empty text"),
        ("gradtool", "gradtool is part of what grades, and no submission can"),
    ],
)
def test_libraries_are_packages(written: str, problem: str) -> None:
    (found,) = problems(f"{HEAD}libraries:\n  - math\n  - scipy\n  - {written}\n")
    assert found.startswith(f"7:5: libraries: {problem}")


def test_what_comes_with_python_needs_no_grant() -> None:
    text = (
        "assignment: a\nquestions:\n  - spec: affine\nlibraries: [math, scipy, sys, numpy, math]\n"
    )
    assert parse_assignment(text, "hw.yaml").libraries == ("numpy", "scipy")


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("src\\layers.py", "4:11: file: expected folders parted by '/', found 'src\\layers.py'"),
        ("src/", "4:11: file: expected a file, found the folder 'src/'"),
        (".", "4:11: file: expected a file, found the folder '.'"),
        ("[a.py, src/]", "4:18: file: expected a file, found the folder 'src/'"),
        ("[a.py, ../b.py]", "4:18: file: '../b.py' leads out of the submission"),
    ],
)
def test_a_pattern_that_fits_no_file_is_a_mistake(written: str, problem: str) -> None:
    assert problems(f"{HEAD}    file: {written}\n") == [problem]


def test_a_pattern_goes_from_the_folder_of_the_submission() -> None:
    text = f"{HEAD}    file: [./layers.py, src/./a.py, layers.py]\n"
    (question,) = parse_assignment(text, "hw.yaml").questions
    assert question.files == ("layers.py", "src/a.py")


@pytest.mark.parametrize("name", ["affine backward", "affine_backward()", "a..b", "def f"])
def test_a_function_is_asked_for_by_a_name(name: str) -> None:
    (found,) = problems(f"{HEAD}    function: {name}\n")
    assert found.startswith("4:15: function: expected the name of a function or a class")


@pytest.mark.parametrize("name", ["affine_backward", "Affine", "Affine.backward", "dérivée"])
def test_names_of_functions(name: str) -> None:
    (question,) = parse_assignment(f"{HEAD}    function: {name}\n", "hw.yaml").questions
    assert question.function == name


def test_all_problems_come_at_once() -> None:
    text = (
        "assignment: hw1\nquestions:\n  - spec: affine\n    pionts: 3\n  - name: b\n"
        "  - spec: affine\n    points: -1\n    file: ../x.py\n"
        "limits: {memory: 3}\nforbid: [magic]\n"
    )
    assert problems(text) == [
        "4:5: unknown key 'pionts' in a question",
        "5:5: this question has no spec:",
        "6:5: questions: the name 'affine' stands twice",
        "7:13: points: expected a number from 0 to 1e+06, found -1",
        "8:11: file: '../x.py' leads out of the submission",
        "9:18: limits.memory: expected a size with its unit, found '3'",
        "10:10: forbid: unknown word 'magic'",
    ]


def test_what_is_advised_is_for_an_assignment() -> None:
    with pytest.raises(SpecError) as error:
        parse_assignment("assignment: a\nquestions: affine\n", "hw.yaml")
    assert "expected a list such as - spec: affine" in str(error.value)
    with pytest.raises(SpecError) as error:
        parse_assignment("assignment: a\nquestions: [{spec: affine, points: ten}]\n", "hw.yaml")
    assert "points: expected a number, found 'ten'" in str(error.value)
    assert "forward" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: expected a mapping that begins with 'assignment: name', found an empty file"),
        (
            "- a\n",
            "1:1: expected a mapping that begins with 'assignment: name', found something else",
        ),
        ("assignment: a\n", "1:1: expected a section 'questions:', found none"),
        ("assignment: a\nquestions: []\n", "2:12: questions: expected at least one question"),
        ("assignment: a\nassignment: b\n", "2:1: the key 'assignment' stands twice"),
    ],
)
def test_files_that_are_no_assignment(text: str, message: str) -> None:
    assert any(found.startswith(message) for found in problems(text)), problems(text)
