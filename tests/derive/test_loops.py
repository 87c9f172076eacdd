"""The backward pass of a loop is the loop that a textbook prints, certified, whatever its length.

The texts of RNN and LSTM are those of P. Werbos (1990) and of Stanford CS231n, assignment 3, with
the values of each step in arrays.
"""

from __future__ import annotations

import pytest

from gradtool.derive.derivation import Derivation, derive
from gradtool.emit.loops import printed
from gradtool.numeric.certify import certify
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text

RNN = """
layer: rnn
inputs: {X: [N, T, D], h0: [N, K]}
parameters: {Wx: [D, K], Wh: [K, K], b: [K]}
forward: |
  H = zeros((N, T, K))
  h = h0
  for t in range(T):
      h = tanh(X[:, t] @ Wx + h @ Wh + b)
      H[:, t] = h
"""

LSTM = """
layer: lstm
inputs: {X: [N, T, D], h0: [N, K]}
parameters: {Wx: [D, 4*K], Wh: [K, 4*K], b: [4*K]}
forward: |
  H = zeros((N, T, K))
  h = h0
  c = zeros((N, K))
  for t in range(T):
      a = X[:, t] @ Wx + h @ Wh + b
      i = sigmoid(a[:, :K])
      f = sigmoid(a[:, K:2*K])
      o = sigmoid(a[:, 2*K:3*K])
      g = tanh(a[:, 3*K:])
      c = f * c + i * g
      h = o * tanh(c)
      H[:, t] = h
"""

CAPTIONER = """
layer: captioner
inputs:
  features: [N, D]
  words: {shape: [N, T], index: V}
  y: {shape: [N, T], index: V}
  mask: {shape: [N, T], dtype: bool}
parameters: {Wp: [D, K], We: [V, E], Wx: [E, K], Wh: [K, K], Wv: [K, V]}
forward: |
  h = features @ Wp
  loss = 0
  for t in range(T):
      h = tanh(We[words[:, t]] @ Wx + h @ Wh)
      P = softmax(h @ Wv)
      loss -= sum(mask[:, t] * log(P[arange(N), y[:, t]])) / N
"""

RETURNS = """
layer: returns
inputs: {r: [N, T]}
parameters: {gamma: []}
forward: |
  G = zeros_like(r)
  g = zeros(N)
  for t in reversed(range(T)):
      g = r[:, t] + gamma * g
      G[:, t] = g
"""


def derived(text: str) -> Derivation:
    """A certified derivation."""
    spec = load_text(text, "t")
    graph = graph_of(spec)
    result = derive(graph)
    assert certify(spec, graph, result).digits >= 30
    return result


def lines_of(text: str) -> list[str]:
    return printed(derived(text).lines)


def test_the_backward_pass_of_an_rnn_is_the_textbook_loop() -> None:
    assert lines_of(RNN) == [
        "dX = zeros((N, T, D))",
        "dWx = zeros((D, K))",
        "dWh = zeros((K, K))",
        "db = zeros(K)",
        "dh_next = zeros((N, K))",
        "for t in reversed(range(T)):",
        "    dz = (dH[:, t] + dh_next) * (1 - H[:, t]**2)",
        "    dX[:, t] = dz @ Wx.T",
        "    dWx += X[:, t].T @ dz",
        "    dWh += h_prev[t].T @ dz",
        "    db += dz.sum(axis=0)",
        "    dh_next = dz @ Wh.T",
        "dh0 = dh_next",
    ]


def test_the_gates_of_an_lstm_are_written_in_terms_of_their_values() -> None:
    lines = lines_of(LSTM)
    assert "    dh = dH[:, t] + dh_next" in lines
    assert "    da_f = dc * c_prev[t] * f_at[t] * (1 - f_at[t])" in lines
    assert "    da = concatenate((da_i, da_f, da_o, da_g), axis=1)" in lines
    assert {"    dh_next = da @ Wh.T", "    dc_next = dc * f_at[t]"} < set(lines)


@pytest.mark.parametrize("text", [CAPTIONER, RETURNS], ids=["captioner", "returns"])
def test_sums_and_backward_loops_are_certified(text: str) -> None:
    derived(text)


RUNNING_MEANS = """
layer: running_means
inputs: {X: [N, T, D], y: {shape: [N, T], index: D}}
parameters: {g: [D]}
outputs: [H, picked]
forward: |
  H = zeros((N, T, D))
  s = zeros((N, D))
  picked = 0
  for t in range(T):
      s = s + relu(X[:, t]) * g
      picked += sum(s[arange(N), y[:, t]])
      H[:, t] = s / (t + 1)
"""


def test_the_step_is_a_number_and_labels_are_read_step_by_step() -> None:
    lines = lines_of(RUNNING_MEANS)
    assert "    dX[:, t] = ds * g * (X[:, t] > 0)" in lines
    assert any("dH[:, t] / (t + 1)" in line and "onehot(y[:, t])" in line for line in lines)


LAST_ONLY = """
layer: last_only
inputs: {X: [N, T]}
parameters: {w: []}
forward: |
  h = zeros(N)
  for t in range(T):
      h = tanh(w * X[:, t])
"""


def test_a_value_that_no_step_reads_hands_back_the_gradient_of_its_last_value() -> None:
    assert "    dh_next = zeros(N)" in lines_of(LAST_ONLY)


def test_two_inner_values_never_share_the_name_of_a_cotangent() -> None:
    derived(
        "layer: two\ninputs: {R: [K, K], c: [K]}\nforward: |\n"
        "  Y = tanh(c @ R + ((R.T @ R) * where(R <= 0, R, 0)) @ exp(c))\n"
    )


def test_a_backward_loop_is_turned_forwards() -> None:
    assert "for t in range(T):" in lines_of(RETURNS)


@pytest.mark.parametrize("steps", [1, 2, 1000])
def test_the_text_does_not_grow_with_the_number_of_steps(steps: int) -> None:
    text = RNN.replace("T, ", f"{steps}, ").replace("range(T)", f"range({steps})")
    spec = load_text(text, "t")
    graph = graph_of(spec)
    result = derive(graph)
    assert len(printed(result.lines)) == 13
    if steps < 3:
        assert certify(spec, graph, result).digits >= 30
