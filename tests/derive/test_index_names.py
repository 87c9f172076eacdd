"""No index is called like an input, a constant or a size, in any form that is printed.

Lower-case sizes and constants with one letter are what indices are called like otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad

import gradtool
from gradtool.derive.derivation import derive
from gradtool.derive.second import jacobian
from gradtool.emit.latex import derivation_notation, latex_line
from gradtool.ir.tree import Call, Items, Name, Tree, children
from gradtool.spec.errors import SpecError
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text

_WINDOWS = """layer: windowed
inputs:
  X: [n, d]
constants:
  i: 2
  j: 3
forward: |
  W = windows(X, j, stride=i)
  Y = sum(W**2, axis=-1) / n * d
"""

LAYERS = {
    "windows with lower-case sizes": _WINDOWS,
    "stride and dilation": """layer: dilated
inputs:
  X: [N, D]
constants:
  k: 3
  n: 2
  d: 2
forward: |
  W = windows(X, k, stride=n, dilation=d)
  Y = sum(W**2, axis=-1)
""",
    "a parameter": """layer: scaled
inputs:
  X: [N, D]
  k: [N]
constants:
  i: 2
forward: |
  W = windows(X, 3, stride=i)
  Y = sum(W**2, axis=-1) * k[:, None]
""",
    "real constants": """layer: cubed
inputs:
  X: [N, D]
constants:
  n: 3
  d: 2.5
  i: 0.5
forward: |
  Y = n * X**3 + d * X * X.mean(axis=0) * i
""",
    "a product": """layer: product
inputs:
  X: [n, d]
  W: [d, c]
forward: |
  Y = X @ W
""",
}


def _indices(tree: Tree) -> Iterator[str]:
    """Names that an index notation declares: on the left, and in over=."""
    if isinstance(tree, Call):
        groups = [tree.args[0]] if tree.op == "indexed" else []
        over = tree.keyword("over")
        for group in groups if over is None else [*groups, over]:
            for entry in group.items if isinstance(group, Items) else (group,):
                first = entry.args[0] if isinstance(entry, Call) else entry
                assert isinstance(first, Name)
                yield first.id
    for child in children(tree):
        yield from _indices(child)


@pytest.mark.parametrize("name", LAYERS)
def test_indices_differ_from_everything_that_is_declared(name: str) -> None:
    graph = graph_of(load_text(LAYERS[name], "<text>"))
    declared = {*graph.tensors, *graph.constants, *graph.dimensions}
    lines = [*derive(graph).lines, *jacobian(graph, [("Y", "X")]).lines]
    found = {index for line in lines for index in _indices(line.tree)}
    assert found
    assert found.isdisjoint(declared)


@pytest.mark.parametrize("name", LAYERS)
def test_every_form_is_certified(name: str) -> None:
    layer = gradtool.load(LAYERS[name])
    layer.derive()
    layer.jacobian("Y", "X")
    layer.hessian("X", "X")


def test_the_gradient_is_that_of_autograd() -> None:
    x = np.random.default_rng(0).standard_normal((3, 9))
    up = np.random.default_rng(1).standard_normal((3, 4))

    def total(x: Any) -> Any:
        windows = [anp.sum(x[:, 2 * k : 2 * k + 3] ** 2, axis=1) for k in range(4)]
        return anp.sum(up * anp.stack(windows, axis=1) / 3 * 9)

    forward, backward = gradtool.load(_WINDOWS).derive().numpy()
    _, cache = forward(x)
    np.testing.assert_allclose(backward(up, cache).dX, grad(total)(x), rtol=1e-12)


def test_letters_of_an_einsum_differ_from_a_stride_in_latex() -> None:
    text = """layer: conv
inputs:
  X: [N, C, H, W]
  F: [K, C, R, S]
constants:
  s: 2
forward: |
  Y = conv2d(X, F, stride=s)
"""
    derivation = derive(graph_of(load_text(text, "<text>")))
    notation = derivation_notation(derivation)
    line = derivation.gradient("F")
    assert line is not None
    under = latex_line(line.name, line.tree, notation).rsplit("_{", 1)[1].split("}")[0]
    assert "s" not in under.split(",")
    assert len(under.split(",")) == 4


@pytest.mark.parametrize(
    ("inputs", "line"),
    [
        ("constants:\n  i: 2.0", "Y[n, i < D] = X[n, i] * i"),
        ("  i: {shape: [], constant: true}", "Y = sum(X[n, i] * i, over=[n, i])"),
    ],
)
def test_an_index_that_is_declared_already_is_refused(inputs: str, line: str) -> None:
    text = f"layer: hidden\ninputs:\n  X: [N, D]\n{inputs}\nforward: |\n  {line}\n"
    with pytest.raises(SpecError, match="'i' is an input or a constant"):
        graph_of(load_text(text, "<text>"))
