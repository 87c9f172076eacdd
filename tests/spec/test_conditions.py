"""What a forward pass asks of its sizes, beside their names."""

from __future__ import annotations

import pytest

from gradtool.numeric.sample import size_sets
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text


@pytest.mark.parametrize(
    ("line", "sizes", "said"),
    [
        ("Y = X[-2:].sum()", "{N: '>=1'}", "for sizes with N >= 2"),
        ("Y = X[-2:].sum()", "{N: '>=2'}", ""),
        ("Y = X[-2:].sum()", "{N: 5}", ""),
        ("Y = X[:3, 4]", "{N: '>=1'}", "for sizes with N >= 3 and D >= 5"),
        ("Y = windows(X, (K, 2))", "{N: '>=1'}", "for sizes with N >= K and D >= 2"),
        ("Y = X.sum()", "{N: '>=1'}", ""),
    ],
)
def test_sizes_that_a_line_asks_for(line: str, sizes: str, said: str) -> None:
    text = f"layer: l\ninputs: {{X: [N, D], Z: [K]}}\nsizes: {sizes}\nforward: |\n  {line}\n"
    spec = load_text(text, "l.yaml")
    graph = graph_of(spec)
    assert graph.remarks == ((said,) if said else ())
    for chosen in size_sets(graph, spec.sizes):
        assert all(dim.evaluate(chosen) >= 0 for dim in graph.assumptions)
        assert chosen["N"] >= 2 or "-2" not in line
