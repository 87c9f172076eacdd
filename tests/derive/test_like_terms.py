"""Terms that are alike are collected, though one of them is written with an inner value.

Each gradient is compared letter by letter, and its layer with differences of the forward text run
by NumPy.
"""

from __future__ import annotations

import pytest

from gradtool.derive.derivation import derive
from gradtool.emit.text import line
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
