"""gradtool: the bundled layers, and two specs of our own."""

from __future__ import annotations

from functools import partial

from gradtool.derive.derivation import derive
from gradtool.emit.text import line
from gradtool.ir.graph import Graph
from gradtool.numeric.certify import certify
from gradtool.report.library import finder, load
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text
from gradtool.spec.model import LayerSpec
from tests.benchmarks.tools.case import Prepared, Printed, depth_of

_BUNDLED = {
    "affine": "affine",
    "relu_net": "two_layer_relu",
    "softmax_ce": "softmax_cross_entropy",
    "batch_norm": "batch_norm",
    "layer_norm": "layer_norm",
    "conv2d": "conv2d",
    "max_margin": "window_max_margin",
    "scalar": "sigmoid_fraction",
    "attention": "attention",
    "lstm_cell": "lstm_cell",
    "l2": "ridge_loss",
    "logdet": "log_determinant",
    "inverse": "inverse",
    "trace": "trace",
    "quadratic": "quadratic_form",
}
_SIGMOID_MSE = """
layer: sigmoid_mse
inputs: {X: [N, D], T: {shape: [N, C], constant: true}}
parameters: {W: [D, C], b: [C]}
forward: |
  A = sigmoid(X @ W + b)
  L = sum((A - T)**2)
"""


def prepare(case: str) -> Prepared:
    """The forward graph of a case."""
    spec = _spec(case)
    graph = graph_of(spec, finder(spec))
    return Prepared(partial(_derive, graph), partial(_judge, spec, graph))


def _spec(case: str) -> LayerSpec:
    depth = depth_of(case)
    if depth is not None:
        return load_text(_mlp(depth), case)
    if case == "sigmoid_mse":
        return load_text(_SIGMOID_MSE, case)
    return load(_BUNDLED[case])


def _mlp(depth: int) -> str:
    layers = range(1, depth + 1)
    weights = "".join(f"  W{i}: [D{i - 1}, D{i}]\n  b{i}: [D{i}]\n" for i in layers)
    lines = "".join(f"  H{i} = tanh(H{i - 1} @ W{i} + b{i})\n" for i in layers)
    return f"layer: mlp_{depth}\ninputs:\n  H0: [N, D0]\nparameters:\n{weights}forward: |\n{lines}"


def _derive(graph: Graph) -> Printed:
    lines = derive(graph).lines
    return Printed(
        {entry.of: line(entry.name, entry.tree) for entry in lines if entry.role == "gradient"},
        tuple(line(entry.name, entry.tree) for entry in lines if entry.role != "gradient"),
    )


def _judge(spec: LayerSpec, graph: Graph) -> tuple[str, ...]:
    certify(spec, graph, derive(graph))  # raises: a wrong gradient here is a bug, not a result
    return ()
