"""What the steps of a loop compare counts as a kink, whatever the step."""

from __future__ import annotations

import numpy as np

from gradtool.derive.derivation import derive
from gradtool.numeric.compile import compiled
from gradtool.numeric.kinks import closest, kinks_text
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text

TEXT = """
layer: t
inputs: {X: [N, T], h0: [N]}
forward: |
  h = h0
  for t in range(T):
      h = relu(X[:, t] + h)
"""


def test_a_comparison_in_any_step_is_seen() -> None:
    spec = load_text(TEXT, "t.yaml")
    text, sites = kinks_text(spec, derive(graph_of(spec)), "math")
    far = np.array([[1.0, 2.0, 3.0]])
    near = np.array([[1.0, 2.0, -3.0 + 1e-9]])
    gaps = []
    for values in (far, near):
        made, _ = compiled(text).forward(values, np.zeros(1))
        names = [name for site in sites for name in site.names]
        gaps.append(closest(sites, dict(zip(names, made, strict=True))).gap)
    assert gaps[0] > 0.1
    assert gaps[1] < 1e-8
