"""What Python and NumPy read differently: `max` of two arguments, `~` of plain numbers."""

from __future__ import annotations

import numpy as np
import pytest

from gradtool.numeric.arithmetic import Double
from gradtool.numeric.grid import run
from gradtool.numeric.sample import setting_for
from gradtool.spec.errors import SpecError
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text

X = np.array([[1.0, -4.0, 2.0], [-3.0, 5.0, -6.0]])


def value(line: str) -> np.ndarray:
    spec = load_text(f"layer: t\ninputs: {{X: [2, 3], x: []}}\nforward: |\n  Y = {line}\n", "t")
    graph = graph_of(spec)
    known = run(graph.statements, {"X": X, "x": np.array(-0.5)}, setting_for(graph, {}, Double()))
    return np.asarray(known["Y"])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("max(0, 1 - x)", np.array(1.5)),
        ("min(x, 0)", np.array(-0.5)),
        ("max(0, X)", np.maximum(0, X)),
        ("np.max(X, 0)", X.max(axis=0)),
        ("X.max(1)", X.max(axis=1)),
        ("max(X, axis=1)", X.max(axis=1)),
    ],
)
def test_the_reading_is_the_one_that_runs(line: str, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(value(line), expected)


def test_what_could_mean_either_is_refused() -> None:
    with pytest.raises(SpecError) as caught:
        value("max(X, 0)")
    assert "max of two arguments could mean either" in str(caught.value)
    assert "write maximum(x, y) for the max of two, x.max(axis=0) over an axis" in str(caught.value)


def test_the_opposite_of_a_comparison_of_numbers_is_refused() -> None:
    # ~(2 > 2) is -1 in Python: the line would compute something else than it says.
    with pytest.raises(SpecError) as caught:
        value("X * (~(2 > 2))")
    assert "no truth value" in str(caught.value)
    np.testing.assert_array_equal(value("where(~(X > 0), 0, X)"), np.maximum(X, 0))
