"""An explanation is a backward pass: every stage hands back what 60-digit differences say."""

from __future__ import annotations

import pytest

from gradtool.derive.derivation import derive
from gradtool.derive.explain import Explanation, explain
from gradtool.emit.text import line, text
from gradtool.ir.graph import Graph
from gradtool.numeric.certify import certify
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text
from gradtool.spec.model import LayerSpec


def made(inputs: str, forward: str, extra: str = "") -> tuple[LayerSpec, Graph]:
    lines = "\n".join(f"  {part.strip()}" for part in forward.strip().split("\n"))
    spec = load_text(f"layer: sample\ninputs: {{{inputs}}}\n{extra}\nforward: |\n{lines}\n", "t")
    return spec, graph_of(spec)


def explained(inputs: str, forward: str, extra: str = "") -> Explanation:
    _, graph = made(inputs, forward, extra)
    return explain(graph, derive(graph))


def lines_of(told: Explanation) -> list[str]:
    return [line(entry.name, entry.tree) for entry in told.derivation.lines]


SAMPLES = {
    "affine": ("X: [N, D], W: [D, C], b: [C]", "Y = X @ W + b"),
    "one line": ("X: [N, D], W: [D, C], b: [C]", "Y = sigmoid(X @ W + b)"),
    "batch norm in one line": (
        "X: [N, D], g: [D]",
        "Y = g * (X - X.mean(axis=0)) / sqrt(X.var(axis=0) + 1)",
    ),
    "softmax loss": (
        "S: [N, C], y: {shape: [N], index: C}",
        "L = -mean(log(softmax(S)[arange(N), y]))",
    ),
    "the same matrix three times": ("A: [N, N]", "Y = A @ A.T @ A"),
    "quadratic form": ("x: [D], A: [D, D]", "f = x @ A @ x"),
    "maximum along an axis": ("X: [N, D], w: [D]", "Y = (X.max(axis=1, keepdims=True) * w) * X"),
    "an output that is used again": (
        "X: [N, D], w: [D]",
        "H = X * w\nL = sum(H**2)",
        "outputs: [H, L]",
    ),
    "correlation": ("X: [5], F: [2]", "O[i] = sum(X[i + p] * F[p], over=[p])"),
    "two correlations of one array": (
        "X: [5], F: [2], G: [2]",
        "O[i] = sum(X[i + p] * F[p], over=[p])\nQ[i] = sum(X[i + p] * G[p], over=[p])\nY = O * Q",
    ),
    "inverse": ("A: [N, N], b: [N]", "y = inv(A @ A.T + eye(N)) @ b"),
    "reshape": ("X: [N, D, E], W: [D*E, C]", "Y = X.reshape(N, D*E) @ W"),
    "labels": ("E: [V, D], ids: {shape: [N], index: V}", "X = E[ids]\nY = tanh(X) * X"),
    "an input without effect": ("x: [N], w: [N]", "y = x * x"),
    "a norm of an inner value": ("V: [H, C], A: [H]", "Y = V * norm(A * A, axis=-1)"),
    "scalars": ("x: [], y: []", "f = (x + sigmoid(y)) / (sigmoid(x) + (x + y)**2)"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_explained_line_agrees_with_differences(name: str) -> None:
    spec, graph = made(*SAMPLES[name])
    told = explain(graph, derive(graph))
    assert certify(spec, told.graph, told.derivation).digits >= 30


def test_there_is_one_cotangent_for_every_named_value() -> None:
    told = explained(
        "x: [], y: []",
        """
        s = sigmoid(y)
        num = x + s
        sx = sigmoid(x)
        t = x + y
        den = sx + t**2
        f = num / den
    """,
    )
    assert lines_of(told) == [
        "dden = -f / den",
        "dt = 2 * dden * t",
        "dsx = dden",
        "dnum = 1 / den",
        "dx = dnum + dsx * sx * (1 - sx) + dt",
        "ds = dnum",
        "dy = ds * s * (1 - s) + dt",
    ]


def test_uses_of_a_value_hand_back_shares_that_are_added() -> None:
    told = explained(
        "X: [N, D]",
        """
        mu = X.mean(axis=0)
        var = ((X - mu)**2).mean(axis=0)
        std = sqrt(var + 1)
        Y = (X - mu) / std
    """,
    )
    step = told.step_of["X"]
    assert [use.stage.name for use in step.uses] == ["mu", "var", "Y"]
    assert lines_of(told)[-1] == "dX = 2 * dvar * (X - mu) / N + dY / std + dmu / N"


def test_a_share_that_is_zero_is_found_by_expanding_definitions() -> None:
    told = explained("X: [N, D]", "mu = X.mean(axis=0)\nvar = ((X - mu)**2).mean(axis=0)")
    (use,) = told.step_of["mu"].uses
    assert use.vanishes
    assert [(text(f.left), text(f.right)) for f in told.facts] == [("(X - mu).sum(axis=0)", "0")]


@pytest.mark.parametrize(
    ("forward", "slope"),
    [
        ("y = sigmoid(x)", "y * (1 - y)"),
        ("y = tanh(x)", "1 - y**2"),
        ("y = exp(x)", "y"),
        ("y = log(x)", "1 / x"),
        ("y = x * x * x", "3 * x**2"),
        ("y = 3 - x", "-1"),
        ("y = relu(x)", "x > 0"),
    ],
)
def test_the_slope_of_an_elementwise_stage_is_found_by_differentiation(
    forward: str, slope: str
) -> None:
    (use,) = explained("x: [N]", forward).step_of["x"].uses
    assert use.local is not None
    assert text(use.local) == slope


def test_an_entry_that_meets_many_has_no_single_slope() -> None:
    (use,) = explained("X: [N, D], W: [D, C]", "Y = X @ W").step_of["X"].uses
    assert use.local is None


def test_the_slope_where_one_slice_is_read_is_that_of_the_slice() -> None:
    (use,) = explained("H: [M, N, D], A: [M, N, D]", "s = (H * A)[1, -1]").step_of["H"].uses
    assert use.local is not None
    assert text(use.local) == "A[1, N - 1]"


def test_inner_values_where_paths_meet_get_names() -> None:
    told = explained("S: [N, C]", "P = softmax(S)")
    inner = [stage.name for stage in told.stages if stage.inner]
    assert inner == ["total"]
    assert lines_of(told)[-1] == "dS = dtotal * exp(S) + dP * P"


def test_a_sum_inside_a_function_gets_a_name() -> None:
    told = explained("X: [N, D], W: [D, C], b: [C]", "Y = tanh(X @ W + b)")
    assert [text(stage.tree) for stage in told.stages] == ["X @ W + b", "tanh(z)"]


def test_a_plain_layer_gets_no_new_names() -> None:
    told = explained("X: [N, D], W: [D, C], b: [C]", "Y = X @ W + b")
    assert [stage.name for stage in told.stages] == ["Y"]


def test_only_what_was_asked_for_is_explained() -> None:
    _, graph = made("X: [N, D], W: [D, C]", "Y = X @ W")
    told = explain(graph, derive(graph, ("W",)))
    assert lines_of(told) == ["dW = X.T @ dY"]
