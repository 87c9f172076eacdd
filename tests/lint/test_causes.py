"""A cause is told of the mistake that it was found for, whoever was graded before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gradtool.check import diagnose
from gradtool.check.judge import Judgement
from gradtool.check.pair import check_pair
from gradtool.lint.causes import Causes
from gradtool.report import plans

SIGMOID = plans.reference("sigmoid")
# Off by 1e-9 and less, so the values of all of them have the same eight digits.
SMALL = {
    "centered": "dA * (sigmoid_forward(Z + 5e-6)[0] - sigmoid_forward(Z - 5e-6)[0]) / 1e-5",
    "factor": "dA * A * (1 - A) * (1 + 1e-9)",
    "smaller factor": "dA * A * (1 - A) * (1 + 1e-12)",
    "offset": "dA * A * (1 - A + 1e-11)",
}


def judged(folder: Path, derivative: str) -> Judgement:
    file = folder / "hw.py"
    file.write_text(
        "import numpy as np\n"
        "def sigmoid_forward(Z):\n"
        "    return 1 / (1 + np.exp(-Z)), Z\n"
        "def sigmoid_backward(dA, Z):\n"
        "    A = 1 / (1 + np.exp(-Z))\n"
        f"    return {derivative}\n"
    )
    judgement = check_pair(SIGMOID, file, seed=0, version="1", explain=False)
    assert judgement.verdict.verdict == "fail"
    return judgement


def told(causes: Causes, judgement: Judgement) -> tuple[str, ...]:
    verdict = causes.told("question", SIGMOID, judgement).verdict
    found = [gradient.cause for gradient in verdict.gradients]
    return tuple("" if cause is None else f"{cause.code}: {cause.message}" for cause in found)


def test_small_errors_share_no_cause(tmp_path: Path) -> None:
    judgements = {name: judged(tmp_path, text) for name, text in SMALL.items()}
    alone = {name: told(Causes(), one) for name, one in judgements.items()}
    assert alone["centered"] == (
        "differences: it is a centered difference of your own forward with a step of 5e-06, "
        "not a derivative",
    )
    for order in (list(SMALL), list(SMALL)[::-1]):
        together = Causes()
        assert {name: told(together, judgements[name]) for name in order} == alone


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[Judgement]:
    """The judgements that a cause was looked for."""
    seen: list[Judgement] = []
    search: Callable[..., Judgement] = diagnose.with_causes_of_numbers

    def counting(reference: object, judgement: Judgement) -> Judgement:
        seen.append(judgement)
        return search(reference, judgement)

    monkeypatch.setattr(diagnose, "with_causes_of_numbers", counting)
    return seen


def test_one_mistake_is_looked_for_once_however_it_is_written(
    tmp_path: Path, searched: list[Judgement]
) -> None:
    """Each of these rounds otherwise."""
    causes = Causes()
    written = ("dA * A * (1 + A)", "A * (A + 1) * dA", "dA * (A + A * A)", "dA * A + dA * A**2")
    found = {told(causes, judged(tmp_path, text)) for text in written}
    assert len(found) == len(searched) == 1
    assert found != {("",)}
    told(causes, judged(tmp_path, "dA * A * (1 - A) * 2"))
    assert len(searched) == 2


def test_what_the_judge_has_found_is_not_looked_for(
    tmp_path: Path, searched: list[Judgement]
) -> None:
    told(Causes(), judged(tmp_path, SMALL["centered"]))
    assert not searched
