"""Derivatives hold where a quotient would be 0/0; what was found for one layer stays there."""

from __future__ import annotations

import numpy as np
import pytest

from gradtool.derive.calculus import cancelled
from gradtool.derive.derivation import derive
from gradtool.ir.dims import Dim
from gradtool.ir.index import Index, Tensor
from gradtool.ir.poly import access
from gradtool.numeric.arithmetic import Double
from gradtool.numeric.certify import read_back
from gradtool.numeric.grid import run
from gradtool.numeric.sample import setting_for
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text


@pytest.mark.parametrize("line", ["x**p", "x * x**p", "(2 * x)**(p + 1)", "x**3 * x**p"])
def test_a_power_with_a_named_exponent_has_its_slope_at_zero(line: str) -> None:
    spec = load_text(
        f"layer: t\ninputs: {{x: [N]}}\nconstants: {{p: 2}}\nforward: |\n  L = sum({line})\n", "t"
    )
    graph = graph_of(spec)
    statements, gradients = read_back(derive(graph))
    setting = setting_for(graph, {"N": 3}, Double())
    x = np.array([0.0, 1.0, -2.0])
    known = run(graph.statements, {"x": x}, setting)
    found = run(statements, known, setting)[gradients["x"].name]
    step = 1e-6
    slopes = [
        (eval(line, {"x": v + step, "p": 2}) - eval(line, {"x": v - step, "p": 2})) / (2 * step)
        for v in x
    ]
    np.testing.assert_allclose(found, slopes, atol=1e-8, rtol=1e-6)


FOCAL = """
layer: focal_softmax
inputs: {S: [N, C], y: {shape: [N], index: C}}
constants: {g: 2.5}
forward: |
  P = softmax(S)
  p = P[arange(N), y]
  L = -mean((1 - p)**g * log(p))
"""


def test_a_power_with_a_named_exponent_has_no_denominator_that_it_would_cancel() -> None:
    """With one class p is 1: the loss is zero there, flat, and no 0/0."""
    graph = graph_of(load_text(FOCAL.lstrip(), "focal.yaml"))
    statements, gradients = read_back(derive(graph))
    for scores, labels in (
        (np.array([[1.0], [-2.0]]), np.array([0, 0])),
        (np.array([[50.0, -30.0, 0.5], [0.3, 0.2, -1.0]]), np.array([0, 2])),
    ):
        setting = setting_for(graph, {"N": 2, "C": scores.shape[1]}, Double())
        known = run(graph.statements, {"S": scores, "y": labels}, setting)
        found = run(statements, known, setting)[gradients["S"].name]
        slopes = np.zeros_like(scores)
        step = 1e-6
        for place in np.ndindex(scores.shape):
            ends = []
            for by in (step, -step):
                moved = scores.copy()
                moved[place] += by
                e = np.exp(moved - moved.max(axis=1, keepdims=True))
                p = (e / e.sum(axis=1, keepdims=True))[np.arange(2), labels]
                ends.append(-np.mean((1 - p) ** 2.5 * np.log(p)))
            slopes[place] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(found, slopes, atol=1e-9)


def test_expressions_of_another_layer_are_not_mistaken_for_this_one() -> None:
    # Equal texts, other sizes: what is found for one must not be given for the other.
    for size in ("N", "M"):
        index = Index("i", Dim.of(size))
        x = access(Tensor("x", (Dim.of(size),)), (index,))
        found = cancelled(x * x.power(-1) * x + x)
        assert found is not None
        assert {i.size for i in found.indices} == {Dim.of(size)}
