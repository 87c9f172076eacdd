"""What is selected and ignored, and what a class got wrong most, counted by submissions."""

from __future__ import annotations

import pytest

from gradtool.lint.choice import Choice, parse_codes
from gradtool.lint.result import Finding
from gradtool.lint.rules import BY_NAME, RULES
from gradtool.lint.summary import summary
from gradtool.records import replace
from gradtool.spec.usage import UsageError
from tests.report.formats.course import graded, right


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        (Choice(), {"GT101", "GT202", "GT303"}),
        (Choice(select=("GT2",)), {"GT202"}),
        (Choice(ignore=("GT2",)), {"GT101", "GT303"}),
        (Choice(select=("GT2",), ignore=("GT202",)), set()),
        (Choice(select=("GT202",), ignore=("GT2",)), {"GT202"}),
        (Choice(select=("GT",), ignore=("GT3",)), {"GT101", "GT202"}),
        (Choice(select=("GT2",), ignore=("GT2",)), set()),
    ],
)
def test_the_longest_prefix_decides(choice: Choice, taken: set[str]) -> None:
    codes = ("GT101", "GT202", "GT303")
    assert {code for code in codes if choice.takes(Finding(code, ""))} == taken


def test_codes_are_given_by_code_prefix_or_name() -> None:
    assert parse_codes(["gt2, mutates", "GT401"], "--select") == ("GT2", "GT304", "GT401")
    with pytest.raises(UsageError, match="there is no rule 'mutate'") as error:
        parse_codes(["mutate"], "--select")
    assert "did you mean 'mutates'?" in str(error.value)


def test_codes_and_names_are_unique_and_ordered() -> None:
    assert list(RULES) == sorted(RULES)
    assert len(BY_NAME) == len(RULES)
    assert all(rule.about.endswith(".") and rule.help.endswith(".") for rule in RULES.values())


def test_a_mistake_counts_once_for_each_submission() -> None:
    twice = graded("b.py")
    first = twice.answers[0]
    doubled = replace(first, findings=first.findings * 2)
    class_ = [graded("a.py"), replace(twice, answers=(doubled, twice.answers[1])), right("c.py")]
    found = summary(class_, Choice())
    assert (found.total, found.passed, found.points) == (3, 1, 6.0)
    assert found.solved == {"affine <1>": 1, "b": 1}
    assert [(one.points, one.of) for one in found.questions] == [(4.0, 2.0), (2.0, 2.0)]
    counts = {(one.code, one.subject, one.cause): one.count for one in found.frequent}
    assert counts == {("GT202", "dW", "transposed"): 2, ("GT106", "", ""): 2, ("GT101", "", ""): 2}
    assert dict(found.codes)["GT202"] == 3
    assert summary(class_, Choice(select=("GT101",))).frequent[0].question == "b"
