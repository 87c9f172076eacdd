"""A loop is explained by one of its steps, which is a layer, and by what joins the steps."""

from __future__ import annotations

import pytest

from gradtool.derive.derivation import derive
from gradtool.report.sections import sections_text
from gradtool.report.steps_loops import loop_steps
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_path


def _told(name: str) -> str:
    spec = load_path(bundled_specs()[name])
    graph = graph_of(spec)
    return "\n".join(sections_text(loop_steps(spec, graph, derive(graph)), 80))


def test_a_step_is_explained_and_the_steps_are_joined() -> None:
    told = _told("rnn")
    for sentence in (
        "X_t                                 is X[:, t]",
        "h_prev                              is h as it begins",
        "      dz = dh * (1 - h**2)",
        "dWx, dWh and db: every step uses the same array",
        "dX: each step has a slice of its own, which it fills.",
        "      for t in reversed(range(T)):",
        "Every formula was read back and evaluated",
    ):
        assert sentence in told


@pytest.mark.parametrize("name", ["rnn_captioner", "bidirectional_rnn"])
def test_sums_and_several_loops_are_explained(name: str) -> None:
    assert "Backwards through one step" in _told(name)
