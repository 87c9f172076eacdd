"""Several outputs are told apart by their names in the code, and by their places where that fails.

The cell is an LSTM's, whose two outputs have one shape: only names and numbers tell which is which.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gradtool.check.result import Verdict
from gradtool.numeric.reference import reference_for
from gradtool.spec.load import load_text
from tests.layers import bundled, verdict_on, verdicts

LSTM = """
def sigmoid(z):
    return 1 / (1 + np.exp(-z))
def lstm_cell_forward(x, prev_h, prev_c, Wx, Wh, b):
    a = x @ Wx + prev_h @ Wh + b
    i, f, o = (sigmoid(part) for part in np.split(a, 4, 1)[:3])
    g = np.tanh(np.split(a, 4, 1)[3])
    {c} = f * prev_c + i * g
    {h} = o * np.tanh({c})
    return {returned}, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, {c})
def lstm_cell_backward({taken}, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, c = cache
    t = np.tanh(c)
    dc = {dc} + {dh} * o * (1 - t * t)
    da = [dc * g * i * (1 - i), dc * prev_c * f * (1 - f), {dh} * t * o * (1 - o)]
    da = np.concatenate([*da, dc * i * (1 - g * g)], 1)
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(0)
"""

# the names of h and c, what is returned, what the backward pass takes and calls them
ORDERS = {
    "as in the spec": ("next_h", "next_c", "next_h, next_c", "dnext_h, dnext_c"),
    "both the other way round": ("next_h", "next_c", "next_c, next_h", "dnext_c, dnext_h"),
    "only taken the other way round": ("next_h", "next_c", "next_h, next_c", "dnext_c, dnext_h"),
    "with a letter each": ("h", "c", "c, h", "dc, dh"),
    "with one name": ("other", "next_c", "next_c, other", "dnext_c, dnext_h"),
    "with names that mislead": ("c", "h", "c, h", "dnext_h, dnext_c"),
    "without names in the backward pass": ("h", "c", "c, h", "dout, grad_output"),
}


def text(h: str, c: str, returned: str, taken: str) -> str:
    parts = taken.split(", ")
    by_name = {part: part for part in parts}
    first, second = parts
    if "out" in taken:  # the order in which they are returned
        dc, dh = first, second
    else:
        dh = next(p for p in by_name if p.endswith("h"))
        dc = next(p for p in by_name if p.endswith("c"))
    return LSTM.format(h=h, c=c, returned=returned, taken=taken, dh=dh, dc=dc)


def judged(folder: Path, text: str) -> Verdict:
    return verdict_on(bundled("lstm_cell"), folder, f"import numpy as np\n{text}")


def is_right_and_a_mistake_is_found(folder: Path, right: str) -> bool:
    wrong = judged(folder, right.replace("dc * f", "dc * i"))
    found = {g.name for g in wrong.gradients if g.standing != "ok"}
    return judged(folder, right).verdict == "pass" and found == {"prev_c"}


@pytest.mark.parametrize("name", ORDERS)
def test_outputs_in_either_order_are_right_and_wrong_code_is_wrong(
    tmp_path: Path, name: str
) -> None:
    assert is_right_and_a_mistake_is_found(tmp_path, text(*ORDERS[name]))


@pytest.mark.parametrize("name", ["as in the spec", "with a letter each"])
def test_all_upstream_gradients_may_come_in_one_argument(tmp_path: Path, name: str) -> None:
    taken = ORDERS[name][-1]
    right = text(*ORDERS[name]).replace(
        f"backward({taken}, cache):", f"backward(grads, cache):\n    {taken} = grads"
    )
    assert is_right_and_a_mistake_is_found(tmp_path, right)


def test_a_method_may_take_all_upstream_gradients_in_one_argument(tmp_path: Path) -> None:
    spec = load_text(
        "layer: products\ninputs:\n  a: [N, D]\n  b: [D, N]\n"
        "forward: |\n  P = a @ b\n  Q = b @ a\noutputs: [P, Q]\n",
        "products.yaml",
    )
    right = """
class Products:
    def forward(self, a, b):
        self.a, self.b = a, b
        return a @ b, b @ a
    def backward(self, grads):
        dP, dQ = grads
        return dP @ self.b.T + self.b.T @ dQ, self.a.T @ dP + dQ @ self.a.T
"""
    for code, verdict in ((right, "pass"), (right.replace("+ dQ @", "- dQ @"), "fail")):
        found = verdict_on(reference_for(spec), tmp_path, code)
        assert found.verdict == verdict
        assert {g.name: g.standing for g in found.gradients}["a"] == "ok"


def test_upstream_gradients_that_are_mixed_up_are_wrong(tmp_path: Path) -> None:
    """Their names say which is which, and the code takes the one for the other."""
    right = text(*ORDERS["as in the spec"])
    mixed = right.replace("backward(dnext_h, dnext_c,", "backward(dnext_c, dnext_h,")
    mixed = mixed.replace("dc = dnext_c + dnext_h", "dc = dnext_h + dnext_c")
    assert judged(tmp_path, mixed).verdict == "fail"


def test_without_a_spec_as_well(tmp_path: Path) -> None:
    (found,) = verdicts(tmp_path, text(*ORDERS["both the other way round"]))
    assert (found.verdict, found.layer) == ("pass", "lstm_cell")
