"""The forward pass of a loop as it is typeset, run line by line, computes what the layer does.

The rows are printed as Python and executed with NumPy: what a row reads is what it has been given
when the row comes, as for a reader.  What the loop keeps for the backward pass is compared with
what the index notation says of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradtool.derive.derivation import derive
from gradtool.emit.latex import forward_lines
from gradtool.emit.latex_loops import Heading, Row
from gradtool.emit.loops import INDENT
from gradtool.emit.text import text
from gradtool.ir.graph import Scan
from gradtool.ir.tree import Name
from gradtool.numeric.arithmetic import Double
from gradtool.numeric.grid import run
from gradtool.numeric.reference import reference_for
from gradtool.numeric.sample import setting_for
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_path, load_text
from gradtool.spec.model import LayerSpec
from tests.programs.reference import execute

LAYERS = {
    # The softmax of the old scores is kept after the new ones have their name.
    "hidden_markov": """
layer: hidden_markov
inputs: {E: [T, S], A: [S, S]}
forward: |
  a = E[0] * 2
  for t in range(1, T):
      a = logsumexp(a[:, None] + A, axis=0) + E[t]
  L = logsumexp(a, axis=0)
""",
    # Both new values come from both old ones.
    "in_turn": """
layer: in_turn
inputs: {x: [T, D], h0: [D], c0: [D]}
forward: |
  h = h0
  c = c0
  for t in range(T):
      h, c = c * x[t], h + 1
  y = h + c
""",
    # An old value under another name.
    "under_another_name": """
layer: under_another_name
inputs: {x: [T, D]}
forward: |
  h = ones(D)
  Y = zeros((T, D))
  for t in range(T):
      old = h
      h = h * x[t]
      Y[t] = tanh(old * h) + old
""",
    # The last value has the name of the carried one, which the step has another name for.
    "power_iteration": """
layer: power_iteration
inputs: {A: [N, N], v0: [N]}
forward: |
  v = v0
  for k in range(3):
      u = A @ v
      v = u / norm(u)
  y = (v * (A @ v)).sum()
""",
    "newton": """
layer: newton
inputs: {A: {shape: [N, N], domain: positive-definite}}
forward: |
  Y = A / trace(A)
  Z = eye(N)
  for k in range(3):
      M = (3 * eye(N) - Z @ Y) / 2
      Y = Y @ M
      Z = M @ Z
""",
}
BUNDLED = [
    name for name, path in bundled_specs().items() if " in range(" in path.read_text("utf-8")
]


def _spec(name: str) -> LayerSpec:
    if name in LAYERS:
        return load_text(LAYERS[name], f"{name}.yaml")
    return load_path(bundled_specs()[name])


@pytest.mark.parametrize("name", [*LAYERS, *BUNDLED])
def test_the_lines_of_a_loop_can_be_run(name: str) -> None:
    spec = _spec(name)
    derivation = derive(graph_of(spec, lambda _: None))
    graph = derivation.graph
    rows, named = forward_lines(graph, derivation.lines, tapes=derivation.tapes)
    shapes = {tensor.name: tensor.shape for tensor in named}
    source = []
    for row in rows:
        if isinstance(row, Heading):
            steps = f"range({row.first}, {row.first + row.size})"
            source.append(f"for {row.index} in {f'reversed({steps})' if row.backwards else steps}:")
        elif isinstance(row, Row):
            operator = "=" if row.operator == "<-" else row.operator
            value = text(row.tree)
            if value == "0" and isinstance(row.target, Name) and row.target.id in shapes:
                value = f"zeros(({''.join(f'{d}, ' for d in shapes[row.target.id])}))"
            line = f"{text(row.target)} {operator} {value}"
            source.append(INDENT * row.inside + line)
        else:
            source.append(f"{row[0]} = {text(row[1])}")
    layer = reference_for(spec, lambda _: None)
    sizes = dict(layer.size_sets()[0])
    values = layer.sample(sizes, np.random.default_rng(7))
    setting = setting_for(graph, sizes, Double())
    expected = run(graph.statements, dict(values), setting)
    arrays = {s.out.name for s in graph.statements if isinstance(s, Scan) and s.what == "slices"}
    collected = {t.name for t in derivation.tapes} | {*graph.outputs} | arrays
    given: dict[str, Any] = {**values, **sizes, **layer.constants}
    given |= {n: np.zeros(np.shape(expected[n])) for n in collected}
    found = execute("\n".join(source), given)
    assert collected <= {*expected}
    for one in collected:
        np.testing.assert_allclose(
            np.asarray(found[one], dtype=float), expected[one], rtol=1e-9, err_msg=one
        )


def test_what_a_line_calls_the_value_before_a_loop_is_said() -> None:
    derivation = derive(graph_of(_spec("newton"), lambda _: None))
    (told,) = [tape for tape in derivation.tapes if not tape.index]
    assert (told.name, text(told.tree)) == ("Y_start", "Y")
    assert any("Y_start" in text(line.tree) for line in derivation.lines)


def test_a_value_of_a_step_is_called_as_the_spec_calls_it() -> None:
    derivation = derive(graph_of(_spec("power_iteration"), lambda _: None))
    kept = {tape.name: text(tape.tree) for tape in derivation.tapes}
    assert kept == {"v_prev": "v", "u_at": "u", "v_at": "v"}


def test_a_value_of_a_step_names_what_it_was_computed_from() -> None:
    derivation = derive(graph_of(_spec("hidden_markov"), lambda _: None))
    kept = {tape.name: text(tape.tree) for tape in derivation.tapes}
    assert kept["P_at"] == "softmax(a_prev[t][:, None] + A, axis=0)"
