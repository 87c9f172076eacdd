"""A sum that would fill the memory is refused before it is begun."""

from __future__ import annotations

import numpy as np
import pytest

from gradtool.ir.errors import TooLargeError
from gradtool.numeric.arithmetic import Double
from gradtool.numeric.grid import run
from gradtool.numeric.sample import setting_for
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text


def test_a_product_of_large_matrices_is_not_summed_entry_by_entry() -> None:
    graph = graph_of(load_text("layer: f\ninputs:\n  X: [N, N]\nforward: |\n  Y = X @ X\n", "f"))
    for size, refused in ((40, False), (2000, True)):
        values = {"X": np.ones((size, size))}
        setting = setting_for(graph, {"N": size}, Double())
        if refused:
            with pytest.raises(TooLargeError, match="8,000,000,000 products"):
                run(graph.statements, values, setting)
        else:
            assert np.all(run(graph.statements, values, setting)["Y"] == size)
