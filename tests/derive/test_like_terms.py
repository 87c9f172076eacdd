"""Terms that are alike are collected, though one of them is written with an inner value.

Each gradient is compared letter by letter, and its layer with differences of the forward text run
by NumPy.
"""

from __future__ import annotations

import numpy as np
import pytest

from gradtool.derive.derivation import derive
from gradtool.emit.text import line
from gradtool.numeric.reference import reference_for
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text
from tests.programs.prove import prove
from tests.programs.test_found import found

CASES = {
    # exp(-z**2 / 2) came from erf as well: z * (e - e) stood there.
    "an error function and its slope": (
        "z: [N]",
        "Phi = 0.5 * (1 + erf(z / sqrt(2)))\n"
        "phi = exp(-z**2 / 2) / sqrt(2 * pi)\n"
        "loss = (z * (2 * Phi - 1) + 2 * phi).mean()",
        "dz = (2 * Phi - 1) / N",
    ),
    # (A @ A).T + 2 * (A.T @ A.T)
    "the trace of a power": (
        "A: [N, N]",
        "loss = np.trace(A @ A @ A)",
        "dA = 3 * (A.T @ A.T)",
    ),
}


def test_a_root_that_all_terms_have_stands_outside() -> None:
    """D. Hendrycks and K. Gimpel, Gaussian Error Linear Units (2016), equation 2.

    tanh(X * (sqrt(2) + 0.08943 * X**2 / sqrt(2)) / sqrt(pi)) stood there.
    """
    text = "layer: l\ninputs: {X: [N]}\nforward: Y = gelu_tanh(X)\n"
    (inner,) = (
        line(found_line.name, found_line.tree)
        for found_line in derive(graph_of(load_text(text, "layer.yaml"), lambda _: None)).lines
        if found_line.role == "inner"
    )
    assert inner == "h = tanh(sqrt(2 / pi) * X * (1 + 0.044715 * X**2))"


LOCAL = """
layer: local_response
inputs: {X: [N, C]}
constants: {k: 2, alpha: 1e-4, beta: 0.75, n: 5}
forward: |
  s = windows(pad(X**2, ((0, 0), (2, 2))), 5).sum(axis=-1)
  z = k + alpha / n * s
  Y = X / z**beta
"""


def test_the_slope_of_a_power_is_divided_by_it() -> None:
    """A. Krizhevsky et al., ImageNet Classification (2012), section 3.3, and its gradient."""
    found_line = derive(graph_of(load_text(LOCAL, "layer.yaml"), lambda _: None)).gradient("X")
    assert found_line is not None
    assert line(found_line.name, found_line.tree) == (
        "dX[i, c] = dY[i, c] / power[i, c] - X[i, c] * alpha * beta * "
        "sum(2 * Y[i, c + 2 - j] * dY[i, c + 2 - j] / z[i, c + 2 - j], over=[j < 5], outside=0) / n"
    )


def test_no_power_is_divided_by_outside_of_its_array() -> None:
    """Zero to a negative power, times zero, was nan in the emitted code."""
    text = LOCAL.replace("k + alpha / n * s", "s").replace("k: 2, alpha: 1e-4, ", "")
    spec = load_text(text.replace(", n: 5", ""), "layer.yaml")
    layer = reference_for(spec, lambda _: None)  # holds the module against the derivation
    sizes = dict(layer.size_sets()[0])
    values = layer.sample(sizes, np.random.default_rng(0))
    whole = layer.forward(values, sizes)
    gradient = layer.backward(values, {n: np.ones(y.shape) for n, y in whole.items()}, sizes)["X"]
    step = np.zeros(gradient.shape)
    step[0, 1] = 1e-6
    ends = [
        sum(y.sum() for y in layer.forward({"X": values["X"] + s * step}, sizes).values())
        for s in (1, -1)
    ]
    np.testing.assert_allclose(gradient[0, 1], (ends[0] - ends[1]) / 2e-6, rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_like_terms_are_collected(name: str) -> None:
    inputs, forward, expected = CASES[name]
    block = forward.replace("\n", "\n  ")
    spec = load_text(f"layer: t\ninputs: {{{inputs}}}\nforward: |\n  {block}\n", "layer.yaml")
    derivation = derive(graph_of(spec, lambda _: None))
    found_line = derivation.gradient(inputs[0])
    assert found_line is not None
    assert line(found_line.name, found_line.tree) == expected


@pytest.mark.parametrize("name", CASES)
def test_the_values_agree(name: str) -> None:
    inputs, forward, _ = CASES[name]
    outcome = prove(found(inputs, forward), seed=1)
    assert outcome.status == "agrees", outcome.detail


def test_a_difference_is_written_out_where_it_hides_a_value() -> None:
    """``(phi - t) - phi`` stood for ``-t`` in the margin of an additive angular loss."""
    spec = load_text(
        """
layer: margin
inputs: {cosine: [N, C], y: {shape: [N], index: C}}
constants: {s: 30.0, m: 0.5}
forward: |
  t = cosine[arange(N), y]
  phi = t * cos(m) - sqrt(1 - t**2) * sin(m)
  logits = s * (cosine + onehot(y, C) * (phi - t)[:, None])
  loss = -log_softmax(logits)[arange(N), y].mean()
""",
        "layer.yaml",
    )
    found_line = derive(graph_of(spec, lambda _: None)).gradient("cosine")
    assert found_line is not None
    assert "phi" not in line(found_line.name, found_line.tree)


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        # J. Schulman et al., Proximal Policy Optimization Algorithms (2017), equation 7: four
        # nested cases stood for the clipped ratio.
        (
            "ratio = exp(logp - old)\n"
            "  loss = -minimum(ratio * A, clip(ratio, 1 - eps, 1 + eps) * A).mean()",
            "dlogp = A * ratio * where(A * clipped >= A * ratio, -1, "
            "-1 * (ratio <= 1 + eps) * (ratio >= 1 - eps)) / N",
        ),
        (
            "Y = maximum(maximum(logp, old), A)",
            "dlogp = dY * (maximum(logp, old) >= A) * (logp >= old)",
        ),
    ],
)
def test_a_condition_on_a_value_with_cases_has_its_name(forward: str, expected: str) -> None:
    constant = "{shape: [N], constant: true}"
    inputs = f"{{logp: [N], old: {constant}, A: {constant}}}"
    text = f"layer: t\ninputs: {inputs}\nconstants: {{eps: 0.2}}\nforward: |\n  {forward}\n"
    spec = load_text(text, "layer.yaml")
    found_line = derive(graph_of(spec, lambda _: None)).gradient("logp")
    assert found_line is not None
    assert line(found_line.name, found_line.tree) == expected


def test_a_power_that_is_written_as_a_product_divides_by_nothing() -> None:
    """``n * n / n`` stood there, which has no value at zero."""
    text = "layer: t\ninputs: {x: [N, D]}\nforward: |\n  n = norm(x, axis=1)\n  Y = n * n * n\n"
    found_line = derive(graph_of(load_text(text, "layer.yaml"), lambda _: None)).gradient("x")
    assert found_line is not None
    assert line(found_line.name, found_line.tree) == "dx = (3 * dY * n)[:, None] * x"


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        ("Y = leaky_relu(x, 0.2)", "dx = dY * where(x > 0, 1, 0.2)"),
        ("Y = where(x > 0, x, 0.1 * x)", "dx = dY * where(x > 0, 1, 0.1)"),
        ("Y = where(x > 0, 1.5 * x, 0.1 * x) / N", "dx = dY * where(x > 0, 1.5, 0.1) / N"),
        # Beside other terms, too.
        (
            "Y = z * where(x > z, x, 0.2 * x) + x * z**2 + 3 * x",
            "dx = dY * (3 + z**2 + z * where(x > z, 1, 0.2))",
        ),
        ("Y = leaky_relu(x, 0.2) * z + x / 2", "dx = dY * (1 + z * where(x > 0, 2, 0.4)) / 2"),
        ("Y = where(x > z, x**2, 0.2 * x) + x", "dx = dY * (1 + where(x > z, 2 * x, 0.2))"),
        # Numbers that are alike but for their sign stay whole.
        ("Y = abs(x - 1) / 2", "dx = dY * sign(x - 1) / 2"),
        ("Y = where(x > 0, x, -x) / 4", "dx = dY * where(x > 0, 1, -1) / 4"),
        ("Y = where(x > 0, x, 5 * x)", "dx = dY * where(x > 0, 1, 5)"),
    ],
)
def test_slopes_are_the_numbers_of_the_forward_pass(forward: str, expected: str) -> None:
    """``dY * where(x > 0, 5, 1) / 5`` stood for a leak of 0.2, with ``5 *`` before the rest."""
    spec = load_text(f"layer: t\ninputs: {{x: [N], z: [N]}}\nforward: {forward}\n", "layer.yaml")
    found_line = derive(graph_of(spec, lambda _: None)).gradient("x")
    assert found_line is not None
    assert line(found_line.name, found_line.tree) == expected


def test_one_inverse_has_one_name() -> None:
    """``L_inv`` and ``L_inv2`` stood there, both for ``inv(L)``."""
    text = """
layer: whitening
inputs: {X: [N, D]}
forward: |
  S = X.T @ X / N + eye(D)
  L = cholesky(S)
  Y = X @ inv(L).T
"""
    lines = derive(graph_of(load_text(text, "layer.yaml"), lambda _: None)).lines
    assert [x.name for x in lines if x.role == "inner"] == ["L_inv"]
    reference_for(load_text(text, "layer.yaml"), lambda _: None)  # runs the emitted code
