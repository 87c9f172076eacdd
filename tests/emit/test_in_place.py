"""What an emitted backward pass changes in place is its own.

Every array that it is given, and every array in the cache, is made read-only before it runs, so
that NumPy itself refuses a line that would write to one of them or to a view of it.  The result
must still be the raw reverse sweep's, twice.  This holds for all layers and all words of the
vocabulary, and for random forward programs, on which no layer can have been tried before.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from gradtool.emit.array_forms import NotBroadcast, broadcast
from gradtool.ir.dims import ONE, Dim
from gradtool.ir.errors import UnsupportedError
from gradtool.numeric.reference import DerivedReference, SamplingError, reference_for
from gradtool.spec.errors import SpecError
from gradtool.spec.load import load_text
from tests.emit.numpy_oracle import backward_of, distance, forward_of, small_sets
from tests.emit.test_numpy_module import EVERY, _layer
from tests.programs.generate import generate

PROGRAMS = 24


def _lock(value: Any) -> None:
    if isinstance(value, np.ndarray):
        value.flags.writeable = False


def _run(reference: DerivedReference, sizes: Mapping[str, int]) -> None:
    """Both passes on read-only arrays, against the graph itself.

    Raises:
        AssertionError: other values, or another result the second time.
        ValueError: something was written to that is not the backward pass's own.
    """
    rng = np.random.default_rng(7)
    values = reference.sample(sizes, rng)
    expected = forward_of(reference.graph, values, sizes)
    if not all(np.all(np.isfinite(y)) for y in expected.values()):
        return
    for value in values.values():
        _lock(value)
    keywords = {name: sizes[name] for name in reference.compiled.sizes}
    made, cache = reference.compiled.forward(
        *(values[v.name] for v in reference.spec.variables), **keywords
    )
    outputs = made if len(reference.outputs) > 1 else (made,)
    for name, y in zip(reference.outputs, outputs, strict=True):
        assert distance(y, expected[name]) < 1e-9, name
    upstream = {n: np.asarray(rng.standard_normal(np.shape(y))) for n, y in expected.items()}
    for value in (*cache, *upstream.values()):
        _lock(value)
    given: Any = tuple(u if u.shape else float(u) for u in upstream.values())
    first = reference.compiled.backward(given if len(given) > 1 else given[0], cache)
    second = reference.compiled.backward(given if len(given) > 1 else given[0], cache)
    gradients = backward_of(reference.graph, values, upstream, sizes)
    for name, one, other in zip(reference.graph.wanted, first, second, strict=True):
        assert distance(one, gradients[name]) < 1e-8, name
        assert np.array_equal(one, other, equal_nan=True), name


@pytest.mark.parametrize("part", range(8))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_layers_and_words_write_to_their_own_arrays_only(part: int) -> None:
    for name in EVERY[part::8]:
        reference = _layer(name)
        _run(reference, small_sets(reference)[0])


@pytest.mark.parametrize("seed", range(PROGRAMS))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_random_programs_write_to_their_own_arrays_only(seed: int) -> None:
    program = generate(random.Random(7000 + seed))
    try:
        reference = reference_for(load_text(program.yaml, "random.yaml"))
        for sizes in small_sets(reference)[:2]:
            _run(reference, sizes)
    except (SpecError, UnsupportedError, SamplingError):
        pytest.skip("refused")


def test_a_loss_is_linear_in_its_upstream_gradient() -> None:
    """The upstream gradient of a loss is folded into the lines, once on every path."""
    tried = 0
    for name in EVERY:
        reference = _layer(name)
        if len(reference.outputs) > 1 or reference.output_shapes[reference.outputs[0]]:
            continue
        sizes = small_sets(reference)[0]
        values = reference.sample(sizes, np.random.default_rng(3))
        keywords = {n: sizes[n] for n in reference.compiled.sizes}
        _, cache = reference.compiled.forward(*values.values(), **keywords)
        one = reference.compiled.backward(1.0, cache)
        three = reference.compiled.backward(3.0, cache)
        for a, b in zip(one, three, strict=True):
            assert distance(np.asarray(b), 3 * np.asarray(a)) < 1e-12, name
        tried += 1
    assert tried > 40


# -- what the lines are -------------------------------------------------------------------


def _backward(text: str) -> list[str]:
    compiled = reference_for(load_text(text, "l.yaml")).compiled
    lines = compiled.text.split("\n")
    start = next(k for k, line in enumerate(lines) if line.startswith("def backward"))
    return [line.strip() for line in lines[start:]]


def test_batch_norm_walks_four_times_through_its_gradient() -> None:
    lines = _layer("batch_norm").compiled.text.split("\n")
    start = lines.index("    dX = xhat * (-dgamma / N)")
    assert lines[start - 1 : start + 4] == [
        "    # dX = gamma / (N * std) * (N * dY - dbeta - xhat * dgamma)",
        "    dX = xhat * (-dgamma / N)",
        "    dX += dY",
        "    dX -= dbeta / N",
        "    dX *= gamma / std",
    ]
    assert '    dgamma = np.einsum("nd,nd->d", dY, xhat)' in lines


def test_a_sum_of_products_along_rows_is_one_pass() -> None:
    lines = _backward("layer: l\ninputs: {X: [N, D], s: [N]}\nforward: Y = X * s[:, None]\n")
    assert "ds = np.vecdot(dY, X)" in lines or "ds = np.vecdot(X, dY)" in lines


def test_a_constant_that_may_be_zero_is_never_divided_by() -> None:
    text = (
        "layer: l\ninputs: {X: [N, D], Z: [N, D]}\nconstants: {a: 0.0}\n"
        "forward: Y = (a * X + X**2 * (Z.sum(axis=0) + Z)) * Z\n"
    )
    reference = reference_for(load_text(text, "l.yaml"))
    rng = np.random.default_rng(0)
    x, z, up = (rng.standard_normal((3, 4)) for _ in range(3))
    _, cache = reference.compiled.forward(x, z)
    assert np.all(np.isfinite(reference.compiled.backward(up, cache).dX))


def test_whole_numbers_are_not_changed_in_place() -> None:
    """An integer array cannot hold a quotient: such lines work on inexact arrays only."""
    text = (
        "layer: l\ninputs: {X: [N, D], Z: [N, D]}\n"
        "forward: Y = (X - X.mean(axis=0)) * Z / (1 + X**2)\n"
    )
    reference = reference_for(load_text(text, "l.yaml"))
    x, z, up = (np.arange(12).reshape(3, 4) % k for k in (5, 7, 3))
    _, cache = reference.compiled.forward(x, z)
    found = reference.compiled.backward(up, cache)
    _, cache = reference.compiled.forward(x.astype(float), z.astype(float))
    expected = reference.compiled.backward(up.astype(float), cache)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b)


def test_two_gradients_that_are_zero_are_two_arrays() -> None:
    text = "layer: l\ninputs: {X: [N], A: [N], B: [N]}\nforward: Y = X**2\n"
    reference = reference_for(load_text(text, "l.yaml"))
    _, cache = reference.compiled.forward(*np.ones((3, 4)))
    found = reference.compiled.backward(np.ones(4), cache)
    assert not np.shares_memory(found.dA, found.dB)


def test_shapes_that_do_not_broadcast_are_refused() -> None:
    n, d = Dim.of("N"), Dim.of("D")
    assert broadcast([(n, d), (d,), (n, ONE), ()]) == (n, d)
    with pytest.raises(NotBroadcast):
        broadcast([(n, d), (n,)])
