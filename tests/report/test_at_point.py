"""`--at` shows the numbers of a layer at one point: known results, and differences."""

from __future__ import annotations

import numpy as np
import pytest

from gradtool.ir.graph import Graph
from gradtool.report.arguments import Value, point
from gradtool.report.at_point import Point, at_point, at_point_lines
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text
from gradtool.spec.model import LayerSpec
from gradtool.spec.usage import UsageError

GATE = "layer: gate\ninputs: {x: [], y: [], z: []}\nforward: |\n  f = (x + y) * z\n"
AFFINE = (
    "layer: affine\ninputs: {X: [N, D]}\nparameters: {W: [D, C], b: [C]}\n"
    "forward: |\n  Y = X @ W + b\n"
)
CROSS_ENTROPY = (
    "layer: ce\ninputs: {S: [N, C], y: {shape: [N], index: C}}\n"
    "forward: |\n  P = softmax(S)\n  L = -mean(log(P[arange(N), y]))\n"
)


def loaded(text: str) -> tuple[LayerSpec, Graph]:
    spec = load_text(text, "sample.yaml")
    return spec, graph_of(spec)


def at(text: str, values: str) -> Point:
    return at_point(*loaded(text), point((values,), "--at"))


def refused(text: str, values: str) -> str:
    with pytest.raises(UsageError) as caught:
        at(text, values)
    return f"{caught.value.message} | {caught.value.hint}"


def test_the_gate_of_the_lecture_notes() -> None:
    # Stanford CS231n prints f = -12 with these numbers; (-2 + 5) * 4 is 12.
    found = at(GATE, "x=-2,y=5,z=4")
    assert found.node("f").value == 12
    assert [float(found.node(n).gradient) for n in "xyz"] == [4, 4, 3]  # type: ignore[arg-type]


def test_inner_nodes_are_shown_with_their_expression() -> None:
    inner = [n for n in at(GATE, "x=-2,y=5,z=4").nodes if not n.name]
    assert [(n.expression, float(n.value)) for n in inner] == [("x + y", 3.0)]
    assert float(inner[0].gradient) == 4  # type: ignore[arg-type]


def test_sizes_follow_from_the_values_and_the_upstream_is_ones() -> None:
    found = at(AFFINE, "X=[[1,2,3],[4,5,6]],W=[[1,0],[0,1],[1,1]],b=[1,2]")
    assert found.sizes == {"N": 2, "D": 3, "C": 2}
    assert found.upstream == ("Y",)
    assert found.node("b").gradient == pytest.approx(np.array([2, 2]))
    assert found.node("W").gradient == pytest.approx(np.array([[5, 5], [7, 7], [9, 9]]))


def test_gradients_agree_with_differences() -> None:
    spec, graph = loaded(CROSS_ENTROPY)
    scores = np.array([[0.3, -1.0, 2.0], [1.5, 0.2, -0.7]])
    labels = [2, 0]

    def loss(entries: np.ndarray) -> float:
        found = at_point(spec, graph, {"S": entries.tolist(), "y": list(labels)})
        return float(found.node("L").value)

    found = at_point(spec, graph, {"S": scores.tolist(), "y": list(labels)})
    numeric = np.zeros_like(scores)
    for place in np.ndindex(*scores.shape):
        step = np.zeros_like(scores)
        step[place] = 1e-6
        numeric[place] = (loss(scores + step) - loss(scores - step)) / 2e-6
    assert found.node("S").gradient == pytest.approx(numeric, abs=1e-8)
    assert found.node("y").gradient is None


def test_a_size_in_an_expression_is_solved_for() -> None:
    text = "layer: a\ninputs: {X: [2*H, W + 1]}\nforward: |\n  Y = X / H\n"
    assert at(text, "X=[[1, 2, 3], [4, 5, 6]]").sizes == {"H": 1, "W": 2}


def test_an_input_without_effect_has_a_zero_gradient() -> None:
    found = at("layer: a\ninputs: {x: [], w: []}\nforward: |\n  y = 2 * x\n", "x=1,w=5")
    assert found.node("w").gradient == 0


@pytest.mark.parametrize(
    ("text", "values", "said"),
    [
        (GATE, "x=1,y=2", "no value for z of gate"),
        (GATE, "x=1,y=2,Z=3", "no input or parameter 'Z' | did you mean 'z'?"),
        (GATE, "x=1,y=2,z=[3]", "z must have the shape (), found (1,)"),
        (AFFINE, "X=[1,2],W=[[1]],b=[1]", "X must have the shape (N, D), found (2,)"),
        (AFFINE, "X=[[1,2],[3]],W=[[1]],b=[1]", "the lists of X have unequal lengths"),
        (
            AFFINE,
            "X=[[1,2]],W=[[1],[2],[3]],b=[1]",
            "axis 0 of W must have the length 2 (D is 2 in X), found 3",
        ),
        (AFFINE, "X=[[]],W=[[1]],b=[1]", "X must have the shape (N, D)"),
        (CROSS_ENTROPY, "S=[[1,2,3]],y=[3]", "y holds labels: whole numbers from 0 to 2"),
        (CROSS_ENTROPY, "S=[[1,2,3]],y=[0.5]", "y holds labels: whole numbers from 0 to 2"),
        (
            "layer: a\ninputs: {X: [2*H]}\nforward: |\n  Y = X / H\n",
            "X=[1,2,3]",
            "do not tell the size H",
        ),
        (AFFINE + "sizes: {D: 4}\n", "X=[[1,2]],W=[[1],[2]],b=[1]", "D is 4 in sizes: of the spec"),
        (
            "layer: a\ninputs: {m: {shape: [N], dtype: bool}, x: [N]}\n"
            "forward: |\n  y = where(m, x, 0)\n",
            "m=[2],x=[1]",
            "m is true or false: give 0 or 1",
        ),
    ],
)
def test_values_that_do_not_fit_get_one_clear_message(text: str, values: str, said: str) -> None:
    assert said in refused(text, values)


def test_the_table_of_the_gate() -> None:
    lines = at_point_lines(*loaded(GATE), point(("x=-2,y=5,z=4",), "--at"))
    assert lines == [
        "gate",
        "",
        "  node  expression   value  gradient",
        "  x                     -2         4",
        "  y                      5         4",
        "  z                      4         3",
        "        x + y            3         4",
        "  f     (x + y) * z     12         1",
        "",
        "gradient: how much f changes per change of the node",
    ]


def test_large_arrays_stand_in_blocks_that_name_the_upstream() -> None:
    rows: list[Value] = [[float(n + 10 * m) for n in range(6)] for m in range(5)]
    spec, graph = loaded("layer: a\ninputs: {X: [N, D]}\nforward: |\n  Y = tanh(X)\n")
    shown = "\n".join(at_point_lines(spec, graph, {"X": rows}))
    assert "Y = tanh(X)   (5, 6)" in shown
    assert "of the sum of all entries of Y (the upstream gradient is ones)" in shown


def test_values_that_are_not_finite_are_pointed_out() -> None:
    spec, graph = loaded("layer: a\ninputs: {x: []}\nforward: |\n  y = log(x)\n")
    assert at_point_lines(spec, graph, {"x": 0})[-1] == "not finite here: x, y"


def test_a_point_at_a_kink_says_so() -> None:
    """The layer is X + 1 at zero, too, and the chain rule through single operations gives 0."""
    spec, graph = loaded("layer: a\ninputs: {X: [N]}\nforward: |\n  Y = abs(X) * sign(X) + 1\n")
    assert at_point_lines(spec, graph, {"X": [0, 2]})[-1] == (
        "at a kink or a tie, where X == 0 (line 1): gradients go by the convention of each "
        "operation there (abs'(0) = 0)"
    )
    assert "kink" not in at_point_lines(spec, graph, {"X": [1, 2]})[-1]
