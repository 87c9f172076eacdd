"""On doubt: the reference is known far better than it is used, and a kink excuses its own entries.

The 60 digits are those of `numeric.HighPrecision`, which certifies derivations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from gradtool.check.bind import Binding
from gradtool.check.bounds import Bounded
from gradtool.check.compare import compare
from gradtool.check.convert import Value
from gradtool.check.probes import Probe, make_probe, stressed
from gradtool.check.tolerance import CLEARLY, expected
from gradtool.derive.derivation import derive
from gradtool.ir.dims import Dim
from gradtool.numeric.arithmetic import HighPrecision
from gradtool.numeric.grid import run
from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.numeric.sample import setting_for
from gradtool.spec.load import load_text
from tests.check.references import HandReference
from tests.layers import bundled

LAYERS = (
    "batch_norm", "layer_norm", "group_norm", "softmax_cross_entropy", "cosine_similarity", "gelu",
    "l2_normalise", "linear_solve", "cholesky", "log_determinant", "inverse", "focal", "attention",
)  # fmt: skip


def exact_gradients(layer: DerivedReference, probe: Probe) -> dict[str, Any]:
    """Every gradient with 60 digits, from the derived formulas."""
    derivation = derive(layer.graph)
    graph, arithmetic = derivation.graph, HighPrecision()
    number = np.frompyfunc(lambda x: arithmetic.mp.mpf(float(x)), 1, 1)

    def long(array: np.ndarray) -> Any:
        real = array.dtype.kind == "f"
        return np.asarray(number(array), dtype=object) if real else array

    loss = all(u.ndim == 0 for u in probe.upstream.values())
    arriving = {} if loss else {f"d{n}": long(u) for n, u in probe.upstream.items()}
    whole = {n for n, v in graph.constants.items() if isinstance(v, int)}
    setting = setting_for(graph, {n: v for n, v in probe.env.items() if n not in whole}, arithmetic)
    given = {**{n: long(v) for n, v in probe.values.items()}, **arriving}
    known = run([*graph.statements, *derivation.closed.statements], given, setting)
    return {n: known[t.name] for n, t in derivation.closed.gradients.items() if t.kind == "real"}


def share_of_bound(exact: dict[str, Any], found: Bounded) -> float:
    """How far the reference is off, in units of what right code may be off."""

    def off(a: Any, b: Any) -> float:
        high = float(b)
        return float(abs(a - high - float(b - high)))

    each = np.frompyfunc(off, 2, 1)
    shares = [
        np.max(each(array, found.gradients[n]).astype(float) / found.gradient_bounds[n])
        for n, array in exact.items()
        if np.size(array)
    ]
    return float(max(shares, default=0.0))


@pytest.mark.parametrize("name", LAYERS)
def test_no_longer_reference_could_change_a_verdict(name: str) -> None:
    """The reference, and that of a doubt, differ from 60 digits by a tenth of the bound at most."""
    layer = bundled(name)
    plain = Binding("", "")
    first = make_probe(layer, plain, layer.settings()[0], 0, 0)
    for probe in (first, *stressed(layer, plain, first, {})):
        found = expected(layer, probe.values, probe.upstream, probe.given, 0, probe.setting.work)
        if not found.finite:
            continue
        exact = exact_gradients(layer, probe)
        assert share_of_bound(exact, found.double) < 0.1
        assert share_of_bound(exact, found.careful()) < 0.1


@pytest.mark.parametrize("name", LAYERS)
def test_a_few_moves_tell_what_is_far_out_and_no_more(name: str) -> None:
    """The bounds of all moves are wider than those of a few, by far less than what is clear."""
    layer = bundled(name)
    plain = Binding("", "")
    for number in range(4):
        probe = make_probe(layer, plain, layer.settings()[0], number, number)
        for at in (probe, *stressed(layer, plain, probe, {})):
            found = expected(layer, at.values, at.upstream, at.given, number, at.setting.work)
            if not found.finite:
                continue
            for gradient in found.gradients:
                *few, every = found.doubts(gradient)
                assert every is found.careful()
                for bounded in few:
                    assert set(bounded.gradients) == {gradient}
                    share = every.gradient_bounds[gradient] / bounded.gradient_bounds[gradient]
                    assert np.max(share, initial=0.0) < CLEARLY / 10


def test_where_the_slightest_move_gives_no_number_no_bound_is_known() -> None:
    """0/0 beside the values that are drawn: the reference is finite there by chance."""

    def forward(values: Mapping[str, np.ndarray], sizes: object) -> dict[str, np.ndarray]:
        return {"Y": 2 * values["X"]}

    def backward(
        values: Mapping[str, np.ndarray], upstream: Mapping[str, np.ndarray], sizes: object
    ) -> dict[str, np.ndarray]:
        x = values["X"]
        return {
            "X": 2 * upstream["Y"] * np.where(np.arange(x.size) < 2, x / x, (x == 3) / (x == 3))
        }

    spec = load_text("layer: t\ninputs: {X: [N]}\nforward: Y = 2*X\n", "t")
    layer = HandReference(spec, ("Y",), {"Y": (Dim.of("N"),)}, forward, backward, ({"N": 3},))
    upstream = {"Y": np.ones(3)}
    found = expected(layer, {"X": np.array([1.0, 2.0, 3.0])}, upstream, {"N": 3}, 0)
    assert found.finite
    bound = found.gradient_bounds["X"]
    assert np.all(bound[:2] < 1e-13)
    assert np.isinf(bound[2])


RELU = """
layer: relu_layer
inputs: {X: [N, D]}
parameters: {W: [D, C]}
forward: Y = relu(X @ W)
"""


@pytest.mark.parametrize(("dtype", "near"), [("float32", 2e-8), ("float64", 2e-17)])
def test_near_a_kink_only_what_depends_on_it_is_excused(dtype: str, near: float) -> None:
    layer = reference_for(load_text(RELU.lstrip(), "relu.yaml"))
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((4, 3)), rng.standard_normal((3, 5))
    # One value of the forward pass is zero but for rounding.
    x[1] -= (x[1] @ w[:, 2] - near) * w[:, 2] / (w[:, 2] @ w[:, 2])
    upstream = rng.standard_normal((4, 5))
    found = expected(layer, {"X": x, "W": w}, {"Y": upstream}, {"N": 4, "D": 3, "C": 5}, 0, 60)

    def judged(mask: np.ndarray, change: float = 1.0) -> tuple[bool, np.ndarray]:
        gradient = x.T @ (upstream * mask)
        gradient[0, 0] *= change
        value = Value("array", dtype, (3, 5), gradient)
        dims = (Dim.of("D"), Dim.of("C"))
        outcome = compare("gradient", "W", value, found, dims, {"N": 4, "D": 3, "C": 5})
        assert outcome.bound is not None
        return outcome.right, outcome.bound

    mask = x @ w > 0
    other = mask.copy()
    other[1, 2] = not mask[1, 2]
    assert judged(mask)[0]
    right, bound = judged(other)
    assert right
    # The column that the kink is in is excused, every other entry is still held to rounding.
    unit = float(np.finfo(dtype).eps)
    assert np.max(np.delete(bound, 2, axis=1)) < 1000 * unit
    assert not judged(other, change=1 + 3000 * unit)[0]
    other[0, 0] = not mask[0, 0]
    assert not judged(other)[0]
