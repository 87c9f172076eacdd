"""What is packed is JSON, comes back equal, shares what was shared, and makes no other classes."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from gradtool.ir import atoms, dims, graph, index, poly, tree
from gradtool.ir.store import StoreError, classes_of, pack, unpack
from gradtool.numeric.arithmetic import Double
from gradtool.numeric.draw import draw
from gradtool.numeric.grid import run
from gradtool.numeric.sample import setting_for, size_sets
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_path

CLASSES = classes_of(atoms, dims, graph, index, poly, tree)


def through_json(value: object) -> object:
    return unpack(json.loads(json.dumps(pack(value))), CLASSES)


@pytest.mark.parametrize(
    "name", ["batch_norm", "max_pool2d", "softmax_cross_entropy", "conv2d", "inverse", "rnn"]
)
def test_a_graph_computes_the_same_afterwards(name: str) -> None:
    paths = bundled_specs()
    spec = load_path(paths[name] if name in paths else paths["rnn_cell"])
    before = graph_of(spec, lambda other: load_path(paths[other]))
    after = through_json(before)
    assert isinstance(after, graph.Graph)
    sizes = size_sets(before, spec.sizes)[0]
    values = draw(spec, sizes, np.random.default_rng(0))
    first, second = (
        run(g.statements, values, setting_for(g, sizes, Double())) for g in (before, after)
    )
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[key], second[key], equal_nan=True) for key in first)


def test_values_keep_their_types_and_shared_parts_are_shared() -> None:
    shared = tree.Name("x")
    value = (1, 1.0, True, None, "1", Fraction(1, 3), {"a": (shared,)}, frozenset({"b"}), shared)
    found = through_json(value)
    assert found == value
    assert [type(part) for part in found[:6]] == [type(part) for part in value[:6]]
    assert found[6]["a"][0] is found[8]


@pytest.mark.parametrize(
    "nodes",
    [None, {}, [], [["os.system", 0]], [["tuple", 3]], [["map", 0]], [["dims.Dim"]], [[[]]], ["x"]],
)
def test_anything_else_is_refused(nodes: object) -> None:
    with pytest.raises(StoreError):
        unpack(nodes, CLASSES)
