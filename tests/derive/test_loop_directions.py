"""The directional derivative of a loop is a loop that carries tangents, certified and as text.

The texts are the product and chain rule of one step, line by line.  The emitted NumPy functions
are compared with the Jacobians that HIPS autograd finds of the same recurrences.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd
import autograd.numpy as np
import numpy
import pytest

from gradtool.derive.second import Differential, hessian, hvp, jacobian, jvp
from gradtool.emit.differential import index_lines
from gradtool.emit.latex_differential import latex_document
from gradtool.emit.loops import printed
from gradtool.emit.numpy_differential import module_text
from gradtool.emit.text import line
from gradtool.ir.errors import UnsupportedError
from gradtool.numeric.certify import CertificationError
from gradtool.numeric.certify_differential import certify_differential
from gradtool.report.differential_json import differential_json
from gradtool.report.library import load
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text
from gradtool.spec.model import LayerSpec


def _layer(text: str) -> LayerSpec:
    return load(text) if "\n" not in text else load_text(text, "layer.yaml")


def _found(text: str, *varied: str, staged: bool = False) -> Differential:
    spec = _layer(text)
    graph = graph_of(spec)
    found = jvp(graph, varied or graph.wanted, staged=staged)
    assert certify_differential(spec, graph, found).digits >= 30
    return found


# -- texts --------------------------------------------------------------------------------


def test_the_tangent_of_an_rnn_travels_beside_its_state() -> None:
    found = _found("rnn")
    assert [(tape.name, tape.begins) for tape in found.tapes] == [("h_prev", True)]
    assert printed(found.lines) == [
        "hsdot = zeros((N, T, H))",
        "hdot_prev = h0dot",
        "for t in range(T):",
        "    hdot = (1 - hs[:, t]**2) * (X[:, t] @ Wxdot + Xdot[:, t] @ Wx + h_prev[t] @ Whdot"
        " + hdot_prev @ Wh + bdot)",
        "    hsdot[:, t] = hdot",
        "    hdot_prev = hdot",
    ]


def test_what_is_not_varied_has_no_tangent() -> None:
    found = _found("rnn", "h0")
    assert printed(found.lines)[3] == "    hdot = (hdot_prev @ Wh) * (1 - hs[:, t]**2)"


def test_a_loop_that_runs_backwards_keeps_its_direction() -> None:
    found = _found("discounted_returns")
    assert "for t in reversed(range(T)):" in printed(found.lines)
    assert "    gdot = gamma * gdot_prev + rdot[:, t] + gammadot * g_prev[t]" in printed(
        found.lines
    )


def test_the_gates_of_a_gru_follow_the_product_rule() -> None:
    assert (
        "    hdot_prev = zdot * (h_prev[t] - hbar_at[t])"
        " + z2dot * (1 - hbar_at[t]**2) * (1 - z_at[t]) + hdot_prev * z_at[t]"
    ) in printed(_found("gru").lines)


def test_a_sum_that_begins_with_something_varied_adds_its_tangent_after_the_loop() -> None:
    found = _found(
        "layer: l\ninputs: {x: [N, T], a: []}\nforward: |\n  s = a**2\n"
        "  for t in range(T):\n      s += (x[:, t]**2).sum()\n  L = 3 * s\n"
    )
    # The array or number that it began with is not written to.
    assert printed(found.lines)[-1].startswith("Ldot = ")
    assert "2 * a * adot" in "\n".join(printed(found.lines))


def test_staged_lines_stand_one_for_each_line_of_a_step() -> None:
    lines = printed(_found("lstm", staged=True).lines)
    assert [text.split(" = ")[0].strip() for text in lines[4:10]] == [
        "adot", "idot", "fdot", "odot", "gdot", "cdot",
    ]  # fmt: skip


ODD = {
    # A value that is collected before the step changes it, at a place with an offset.
    "before": "layer: l\ninputs: {x: [N, T], h0: [N]}\nforward: |\n"
    "  B = zeros((N, T))\n  H = zeros((N, T + 1))\n  h = h0\n  for t in range(T):\n"
    "      B[:, t] = h\n      h = tanh(h + x[:, t])\n      H[:, t + 1] = h\n"
    "  Y = H[:, 1:] * B\n",
    # Two values change places in every step.
    "swapped": "layer: l\ninputs: {x: [N, T], a0: [N], b0: [N]}\nforward: |\n"
    "  a = a0\n  b = b0\n  for t in range(T):\n      c = a\n      a = b\n"
    "      b = sin(c) * x[:, t]\n  Y = a * b\n",
    # A carried value that forgets what it began with.
    "forgets": "layer: l\ninputs: {x: [N, T], a0: [N]}\nforward: |\n"
    "  a = a0\n  for t in range(T):\n      a = x[:, t]**2\n  Y = a\n",
    # A loop reads what another one collects.
    "two": "layer: l\ninputs: {x: [N, T], w: [N]}\nforward: |\n"
    "  H = zeros((N, T))\n  h = w\n  for t in range(T):\n      h = tanh(h * w + x[:, t])\n"
    "      H[:, t] = h\n  s = zeros(N)\n  for t in reversed(range(T)):\n"
    "      s += (H[:, t] * h)**2\n  L = sum(s)\n",
    # A maximum and labels inside a step.
    "labels": "layer: l\ninputs: {E: [V, D], h0: [D], y: {shape: [T], index: V}}\nforward: |\n"
    "  h = h0\n  for t in range(T):\n      h = maximum(h, E[y[t]]) + max(h)\n  L = sum(h**2)\n",
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("staged", [False, True])
def test_odd_loops_are_certified(name: str, staged: bool) -> None:
    try:
        found = _found(ODD[name], staged=staged)
    except CertificationError as error:
        raise AssertionError(str(error)) from error
    spec = _layer(ODD[name])
    assert "for t in" in module_text(spec, found)


def test_every_format_shows_the_loop() -> None:
    spec = _layer("rnn")
    graph = graph_of(spec)
    found = jvp(graph, graph.wanted)
    certificate = certify_differential(spec, graph, found)
    index = "\n".join(index_lines(found))
    assert "for t = 0, …, T-1:" in index
    assert "hdot[n,h] = (1 - hs[n,t,h]^2) (" in index
    latex = latex_document(spec, found)
    assert "\\dot{h}^{\\text{prev}} &\\leftarrow \\dot{h}" in latex
    shown = differential_json(spec, found, certificate)
    assert [kept["text"] for kept in shown["kept"]] == ["h_prev[t] = h"]
    assert "for t in range(T):" in shown["lines"][0]["text"]


def test_jacobians_and_second_derivatives_of_loops_are_refused_by_name() -> None:
    spec = _layer("rnn")
    graph = graph_of(spec)
    with pytest.raises(UnsupportedError, match="a loop over an axis in Jacobians"):
        jacobian(graph, [("hs", "h0")])
    with pytest.raises(UnsupportedError, match="a loop over an axis in second derivatives"):
        hvp(graph, graph.wanted, line)
    with pytest.raises(UnsupportedError, match="a loop over an axis in second derivatives"):
        hessian(graph, "h0", "h0", line)


# -- values -------------------------------------------------------------------------------


def _rnn(X: Any, h0: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    states, h = [], h0
    for t in range(X.shape[1]):
        h = np.tanh(X[:, t] @ Wx + h @ Wh + b)
        states.append(h)
    return np.stack(states, axis=1)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _lstm(X: Any, h0: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    size = h0.shape[1]
    states, h, c = [], h0, numpy.zeros(h0.shape)
    for t in range(X.shape[1]):
        a = X[:, t] @ Wx + h @ Wh + b
        i, f, o = (_sigmoid(a[:, k * size : (k + 1) * size]) for k in range(3))
        c = f * c + i * np.tanh(a[:, 3 * size :])
        h = o * np.tanh(c)
        states.append(h)
    return np.stack(states, axis=1)


def _gru(
    X: Any, h0: Any, Wz: Any, Uz: Any, bz: Any, Wr: Any, Ur: Any, br: Any, W: Any, U: Any, b: Any
) -> Any:
    h = h0
    for t in range(X.shape[1]):
        z = _sigmoid(X[:, t] @ Wz + h @ Uz + bz)
        r = _sigmoid(X[:, t] @ Wr + h @ Ur + br)
        h = z * h + (1 - z) * np.tanh(X[:, t] @ W + (r * h) @ U + b)
    return h


def _returns(r: Any, gamma: Any) -> Any:
    later = numpy.arange(r.shape[1])
    return np.stack(
        [np.sum(r[:, t:] * gamma ** later[: r.shape[1] - t], axis=1) for t in later], axis=1
    )


N, T, D, H = 2, 4, 3, 5
GATE = {"W": (D, H), "U": (H, H), "b": (H,)}
CASES: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "rnn": (_rnn, [(N, T, D), (N, H), (D, H), (H, H), (H,)]),
    "lstm": (_lstm, [(N, T, D), (N, H), (D, 4 * H), (H, 4 * H), (4 * H,)]),
    "gru": (_gru, [(N, T, D), (N, H), *GATE.values(), *GATE.values(), *GATE.values()]),
    "discounted_returns": (_returns, [(N, T), ()]),
}


@pytest.mark.parametrize("name", CASES)
def test_emitted_directions_are_those_of_autograd(name: str) -> None:
    forward, shapes = CASES[name]
    rng = numpy.random.default_rng(5)
    values = [numpy.asarray(rng.standard_normal(shape)) for shape in shapes]
    ways = [numpy.asarray(rng.standard_normal(shape)) for shape in shapes]
    spec = _layer(name)
    graph = graph_of(spec)
    module: dict[str, Any] = {"__name__": "emitted"}
    exec(module_text(spec, jvp(graph, graph.wanted)), module)
    output, change = module["jvp"](*values, *ways)
    numpy.testing.assert_allclose(output, forward(*values), rtol=1e-12)
    expected = numpy.zeros(output.shape)
    for place, way in enumerate(ways):
        whole = autograd.jacobian(forward, place)(*values)
        expected += numpy.tensordot(whole, way, axes=way.ndim)
    numpy.testing.assert_allclose(change, expected, rtol=1e-10, atol=1e-12)
