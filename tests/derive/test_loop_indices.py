"""Index notation inside the backward pass of a loop."""

from __future__ import annotations

import gradtool

CAPTIONS = """\
layer: captions
inputs:
  captions: {shape: [N, T], index: V}
  h0: [N, H]
parameters:
  W_embed: [V, D]
  Wx: [D, H]
  Wh: [H, H]
  b: [H]
forward: |
  hs = rnn(W_embed[captions[:, :-1]], h0, Wx, Wh, b)
  L = hs.sum()
"""


def test_no_index_is_called_like_a_value_that_the_loop_carries() -> None:
    found = gradtool.load(CAPTIONS).derive()  # reads every line back, or is no certificate
    lines = str(found)
    assert "over=[i, n]" in lines
    assert "hs2[:, t]]" not in lines
