"""What an emitted backward pass changes in place is its own.

Every array that it is given, and every array in the cache, is made read-only before it runs, so
that NumPy itself refuses a line that would write to one of them or to a view of it.  The result
must still be the raw reverse sweep's, twice.  Here this is done with random forward programs, on
which nothing can have been tried before; `test_numpy_module` does it with all layers and words.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from gradtool.emit.array_forms import NotBroadcast, broadcast
from gradtool.ir.dims import ONE, Dim
from gradtool.ir.errors import UnsupportedError
from gradtool.numeric.reference import SamplingError, reference_for
from gradtool.spec.errors import SpecError
from gradtool.spec.load import load_text
from tests.emit.examples import SPECS
from tests.emit.numpy_oracle import run_locked, small_sets
from tests.programs.generate import generate

PROGRAMS = 24


@pytest.mark.parametrize("seed", range(PROGRAMS))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_random_programs_write_to_their_own_arrays_only(seed: int) -> None:
    program = generate(random.Random(7000 + seed))
    try:
        reference = reference_for(load_text(program.yaml, "random.yaml"))
        for sizes in small_sets(reference)[:2]:
            run_locked(reference, sizes)
    except (SpecError, UnsupportedError, SamplingError):
        pytest.skip("refused")


# -- what the lines are -------------------------------------------------------------------


def _backward(text: str) -> list[str]:
    compiled = reference_for(load_text(text, "l.yaml")).compiled
    lines = compiled.text.split("\n")
    start = next(k for k, line in enumerate(lines) if line.startswith("def backward"))
    return [line.strip() for line in lines[start:]]


def test_batch_norm_walks_four_times_through_its_gradient() -> None:
    lines = reference_for(load_text(SPECS["batch_norm"], "l.yaml")).compiled.text.split("\n")
    start = lines.index("    dX = xhat * (-dgamma / N)")
    assert lines[start - 1 : start + 4] == [
        "    # dX = gamma / (N * std) * (N * dY - dbeta - xhat * dgamma)",
        "    dX = xhat * (-dgamma / N)",
        "    dX += dY",
        "    dX -= dbeta / N",
        "    dX *= gamma / std",
    ]
    assert '    dgamma = np.einsum("nd,nd->d", dY, xhat)' in lines


ATTENTION = """
layer: attention_heads
inputs: {Q: [A, M, E], K: [A, T, E], V: [A, T, F]}
forward: |
  S = Q @ K.transpose(0, 2, 1) / sqrt(E)
  P = softmax(S)
  O = P @ V
"""


def test_an_array_that_nothing_needs_any_more_is_worked_in() -> None:
    lines = _backward(ATTENTION)
    start = lines.index("dP = dO @ V.transpose(0, 2, 1)")
    assert lines[start + 2 : start + 5] == [
        "dS = dP  # not needed any more",
        "dS -= np.vecdot(dP, P)[..., None]",
        "dS *= P",
    ]


def test_an_array_that_is_still_read_is_not_worked_in() -> None:
    # dZ is read by dB after dA has been made of it, and its transpose is a view.
    text = (
        "layer: l\ninputs: {X: [N, D], W: [D, C], A: [N, C], B: [C]}\n"
        "forward: |\n  Z = X @ W\n  Y = softmax(Z * A + B)\n"
    )
    reference = reference_for(load_text(text, "l.yaml"))
    for sizes in small_sets(reference)[:2]:
        run_locked(reference, sizes)
    results = [line for line in _backward(text) if "not needed any more" in line]
    assert all("dZ " not in line for line in results)


def test_a_function_of_one_step_is_computed_once() -> None:
    text = (
        "layer: l\ninputs: {X: [N, T], c: [N]}\nforward: |\n  h = c\n"
        "  for t in range(T):\n      h = h * X[:, t] + tanh(h) * sin(tanh(h))\n"
    )
    lines = _backward(text)
    assert sum(line.count("np.tanh(") for line in lines) == 1
    reference = reference_for(load_text(text, "l.yaml"))
    for sizes in small_sets(reference)[:2]:
        run_locked(reference, sizes)


def test_several_summed_axes_are_one_product() -> None:
    text = (
        "layer: l\ninputs: {X: [N, T, D], Z: [T, N, C]}\nforward: Y = einsum('ntd,tnc->cd', X, Z)\n"
    )
    compiled = reference_for(load_text(text, "l.yaml")).compiled.text
    assert ".reshape(N * T, " in compiled or ".reshape(T * N, " in compiled
    assert "np.einsum" not in compiled.split("def backward")[0]
    reference = reference_for(load_text(text, "l.yaml"))
    for sizes in small_sets(reference)[:2]:
        run_locked(reference, sizes)


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
