"""What the tests of emitted NumPy code compare with: the graph itself, evaluated entry by entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradtool.derive.derivation import is_loss
from gradtool.derive.reverse import Cotangents, reverse
from gradtool.ir.graph import Graph
from gradtool.numeric.arithmetic import Double
from gradtool.numeric.grid import run
from gradtool.numeric.reference import DerivedReference
from gradtool.numeric.sample import setting_for

Arrays = Mapping[str, Any]


def forward_of(graph: Graph, values: Arrays, sizes: Mapping[str, int]) -> dict[str, Any]:
    """The outputs, straight from index notation."""
    known = run(graph.statements, dict(values), setting_for(graph, sizes, Double()))
    return {name: known[name] for name in graph.outputs}


def backward_of(
    graph: Graph, values: Arrays, upstream: Arrays, sizes: Mapping[str, int]
) -> dict[str, Any]:
    """The gradients by the raw reverse sweep: nothing simplified, nothing printed."""
    sweep = _sweep(graph)
    setting = setting_for(graph, sizes, Double())
    known = run(sweep.graph.statements, dict(values), setting)
    if is_loss(graph):
        (name,) = graph.outputs
        given = {sweep.upstream[name].name: np.asarray(1.0)}
        scale = upstream[name]
    else:
        given = {sweep.upstream[name].name: np.asarray(upstream[name]) for name in graph.outputs}
        scale = 1.0
    found = run(sweep.statements, {**known, **given}, setting)
    return {
        name: scale * found[sweep.of[name].name] if name in sweep.of
        else np.zeros(np.shape(values[name]))
        for name in graph.wanted
    }  # fmt: skip


_SWEEPS: dict[int, tuple[Graph, Cotangents]] = {}
"""By identity of the graph: one is asked for its sweep at many points."""


def _sweep(graph: Graph) -> Cotangents:
    if id(graph) not in _SWEEPS:
        _SWEEPS[id(graph)] = graph, reverse(graph)
    return _SWEEPS[id(graph)][1]


def distance(found: Any, expected: Any) -> float:
    """The largest difference, relative to the largest entry; 0 where nothing is defined."""
    a, b = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    assert a.shape == b.shape
    if not np.all(np.isfinite(b)):
        return 0.0
    return float(np.max(np.abs(a - b), initial=0) / max(np.max(np.abs(b), initial=0), 1e-3))


def run_locked(reference: DerivedReference, sizes: Mapping[str, int]) -> None:
    """Both passes on arrays that cannot be written to, against the graph itself.

    Raises:
        AssertionError: other values, or another result the second time.
        ValueError: something was written to that is not the backward pass's own.
    """
    rng = np.random.default_rng(7)
    values = reference.sample(sizes, rng)
    expected = forward_of(reference.graph, values, sizes)
    if not all(np.all(np.isfinite(y)) for y in expected.values()):
        return
    keywords = {name: sizes[name] for name in reference.compiled.sizes}
    given = [_locked(values[v.name]) for v in reference.spec.variables]
    made, cache = reference.compiled.forward(*given, **keywords)
    outputs = made if len(reference.outputs) > 1 else (made,)
    for name, y in zip(reference.outputs, outputs, strict=True):
        assert distance(y, expected[name]) < 1e-9, name
    upstream = {n: np.asarray(rng.standard_normal(np.shape(y))) for n, y in expected.items()}
    cache = tuple(map(_locked, cache))
    several = [_locked(u) if u.shape else float(u) for u in upstream.values()]
    shown: Any = several[0] if len(several) == 1 else tuple(several)
    first = reference.compiled.backward(shown, cache)
    second = reference.compiled.backward(shown, cache)
    gradients = backward_of(reference.graph, values, upstream, sizes)
    for name, one, other in zip(reference.graph.wanted, first, second, strict=True):
        assert distance(one, gradients[name]) < 1e-8, name
        assert np.array_equal(one, other, equal_nan=True), name


def _locked(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    return value


def small_sets(reference: DerivedReference) -> list[dict[str, int]]:
    """The size sets that can be evaluated entry by entry; the others show what holds at scale."""
    return [s for s in reference.size_sets() if max(s.values(), default=1) <= 8]
