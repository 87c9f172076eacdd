"""A softmax in a line of index notation is called, whatever it is of."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradtool.derive.derivation import derive
from gradtool.emit.helpers.softmax import _softmax
from gradtool.emit.helpers.window import _window
from gradtool.emit.numpy_index import line_steps
from gradtool.emit.numpy_names import ModuleNames
from gradtool.ir.tree import Name, call
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text

SPEC = """\
layer: t
inputs: {X: [N, 1, V + 2], y: {shape: [N], index: V}, F: [1, 1, 3]}
forward: L = -mean(log_softmax(conv1d(X, F)[:, 0])[arange(N), y])
"""


def test_a_softmax_of_what_only_index_notation_knows() -> None:
    derivation = derive(graph_of(load_text(SPEC, "layer.yaml"), lambda _: None))
    (inner,) = (line for line in derivation.lines if line.role == "inner")
    module = ModuleNames(derivation, None)
    steps = line_steps(module, "Q", call("sub", inner.tree, call("onehot", Name("y"))))
    code = [line for step in steps for line in step.code]
    assert any("_softmax(" in line for line in code)
    rng = np.random.default_rng(0)
    X, F, y = 1e3 * rng.standard_normal((4, 1, 7)), rng.standard_normal((1, 1, 3)), [0, 4, 4, 1]
    scope: dict[str, Any] = {"np": np, "X": X, "F": F, "y": np.array(y), "N": 4, "V": 5}
    scope |= {"_softmax": _softmax, "_window": _window}
    exec("\n".join(code), scope)  # what gradtool emitted
    scores = np.stack([np.correlate(row[0], F[0, 0]) for row in X])
    right = np.exp(scores - scores.max(axis=1, keepdims=True))
    right = right / right.sum(axis=1, keepdims=True) - np.eye(5)[y]
    np.testing.assert_allclose(scope["Q"], right, atol=1e-12)
