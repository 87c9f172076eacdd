"""Arguments whose names a spec does not know: letters and orders are tried, the forward decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.judge import Judgement
from gradtool.check.pair import check_pair
from gradtool.check.placing import placing
from gradtool.check.result import Verdict
from tests.check.references import variable
from tests.layers import bundled, verdicts

ATTENTION = """
def attention_forward({0}, {1}, {2}):
    root = np.sqrt({1}.shape[1])
    scores = {2} @ {1}.T / root
    weights = np.exp(scores - scores.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    return weights @ {0}, ({0}, {1}, {2}, weights, root)
def attention_backward(dout, cache):
    values, keys, queries, weights, root = cache
    dweights = dout @ values.T
    dscores = weights * (dweights - (dweights * weights).sum(1, keepdims=True)) / root
    return weights.T @ dout, dscores.T @ queries, dscores @ keys
"""
MARGIN = """
def max_margin_loss(worse, better):
    gap = 1 + worse - better
    on = (gap > 0) / len(gap)
    return np.maximum(gap, 0).mean(), on, -on
"""
SQUARES = """
def mse_loss(a, b):
    return np.mean((a - b) ** 2), 2 * ({gradient}) / a.size
"""


def judged(folder: Path, layer: str, text: str) -> Judgement:
    file = folder / f"{layer}.py"
    file.write_text(f"import numpy as np\n{text}")
    return check_pair(bundled(layer), file, seed=0, version="1")


def remarks(verdict: Verdict) -> str:
    return "; ".join(remark.message for remark in verdict.remarks)


@pytest.mark.parametrize("names", ["values keys queries", "v_in k_in q_in", "c b a", "Z U R"])
def test_attention_in_any_order_is_right_and_without_its_scale_wrong(
    tmp_path: Path, names: str
) -> None:
    right = ATTENTION.format(*names.split())
    assert judged(tmp_path, "attention", right).verdict.verdict == "pass"
    dropped = judged(tmp_path, "attention", right.replace(")) / root", "))")).verdict
    assert dropped.verdict == "fail"
    assert {g.name: g.standing for g in dropped.gradients} == {
        "Q": "wrong",
        "K": "wrong",
        "V": "ok",
    }


def test_what_the_forward_decided_is_told_and_what_no_order_fits_too(tmp_path: Path) -> None:
    found = judged(tmp_path, "max_margin", MARGIN).verdict
    assert found.verdict == "pass"
    assert "which of worse, better is which: taken in the order" in remarks(found)
    turned = judged(tmp_path, "max_margin", MARGIN.replace("on, -on", "-on, on")).verdict
    assert turned.verdict == "fail"
    assert all(gradient.standing == "wrong" for gradient in turned.gradients)
    other = judged(tmp_path, "max_margin", MARGIN.replace("1 +", "2 +")).verdict
    assert other.verdict == "fail"
    assert "in none of the orders that were tried" in remarks(other)


def test_of_a_symmetric_loss_the_order_of_the_signature_counts(tmp_path: Path) -> None:
    """Its forward is right in both orders: a gradient of the wrong sign stays wrong."""
    right = SQUARES.format(gradient="a - b")
    assert judged(tmp_path, "mse", right).verdict.verdict == "pass"
    wrong = SQUARES.format(gradient="b - a")
    assert judged(tmp_path, "mse", wrong).verdict.verdict == "fail"


def test_without_a_spec_the_order_is_found_as_well(tmp_path: Path) -> None:
    right = ATTENTION.format("values", "keys", "queries")
    (found,) = verdicts(tmp_path, right)
    assert (found.verdict, found.layer) == ("pass", "attention")
    (found,) = verdicts(tmp_path, right.replace("dscores @ keys", "dscores @ keys * 2"))
    assert (found.verdict, found.layer) == ("fail", "attention")


def test_letters_come_first_and_equal_shapes_before_others() -> None:
    square, row = ("N", "D"), ("N",)
    variables = [
        variable("A", "input", *square),
        variable("P", "input", *square),
        variable("Q", "input", *row),
    ]

    def orders(*parameters: str) -> list[str]:
        found = (placing(parameters, variables, place, 6) for place in range(7))
        return ["".join(one[0].values()) for one in found if one is not None]

    assert orders("x", "y", "z") == ["APQ", "PAQ", "AQP", "QPA", "PQA", "QAP"]
    assert orders("positive", "query", "anchor")[:2] == ["PQA", "APQ"]
    assert orders("positive", "negative", "anchor")[:2] == ["APQ", "PQA"]  # one has no letter
    assert orders("anchor", "positive", "query") == ["APQ"]
    assert orders("pa", "pb", "q")[0] == "APQ"  # two with one letter tell nothing
