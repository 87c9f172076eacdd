"""The subscript form says what was derived: hand-written lines, and every line evaluated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradtool.emit.subscripts import subscript_lines, subscripts
from gradtool.numeric.arithmetic import Double
from gradtool.numeric.draw import draw
from gradtool.numeric.grid import run
from gradtool.numeric.sample import setting_for, size_sets
from tests.emit.examples import SPECS, example
from tests.emit.subscript_reader import NotReadable, evaluate


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "affine",
            """
            dX[n,d] = Σ_c dY[n,c] W[d,c]
            dW[d,c] = Σ_n X[n,d] dY[n,c]
            db[c] = Σ_n dY[n,c]""",
        ),
        ("softmax_ce", "dS[n,c] = (P[n,c] - 1[c = y[n]]) / N"),
        (
            "batch_norm",
            """
            dX[n,d] = gamma[d] (N dY[n,d] - Σ_n' dY[n',d] - xhat[n,d] Σ_n' dY[n',d] xhat[n',d]) """
            """/ (N std[d])
            dgamma[d] = Σ_n dY[n,d] xhat[n,d]
            dbeta[d] = Σ_n dY[n,d]""",
        ),
        (
            "conv",
            """
            dX[n,c,h,w] = Σ_{k,r,s} dY[n,k,h-r,w-s] F[k,c,r,s]   (entries outside an array are 0)
            dF[k,c,r,s] = Σ_{i<H+1-R,n,j<W+1-S} dY[n,k,i,j] X[n,c,i+r,j+s]
            db[k] = Σ_{i<H+1-R,n,j<W+1-S} dY[n,k,i,j]""",
        ),
        (
            "attention",
            """
            dP[m,t] = Σ_f dO[m,f] V[t,f]
            dS[m,t] = P[m,t] (dP[m,t] - Σ_t' dP[m,t'] P[m,t'])
            dQ[m,e] = Σ_t dS[m,t] K[t,e] / sqrt(E)
            dK[t,e] = Σ_m dS[m,t] Q[m,e] / sqrt(E)
            dV[t,f] = Σ_m P[m,t] dO[m,f]""",
        ),
    ],
)
def test_known_layers_read_as_in_a_textbook(name: str, expected: str) -> None:
    _, derivation = example(name)
    assert list(subscript_lines(derivation)) == [
        line.strip() for line in expected.strip().split("\n")
    ]


def test_inner_values_have_the_names_of_the_text_form() -> None:
    _, derivation = example("two_layer")
    texts = subscripts(derivation)
    assert list(texts) == [line.name for line in derivation.lines]
    assert texts["z"] == "z[n,h] = b1[h] + Σ_d X[n,d] W1[d,h]"
    assert texts["dz"] == "dz[n,h] = 1[z[n,h] > 0] Σ_c dS[n,c] W2[h,c]"
    assert not any("_1" in text or "_2" in text for text in texts.values())


def test_a_maximum_is_explained_by_the_place_that_it_takes() -> None:
    _, derivation = example("row_max")
    texts = subscripts(derivation)
    assert texts["best"] == (
        "best[n] = argmax_n' Σ_d X[n,d] X[n',d] 1[X[n,d] > 0]   (the first on a tie)"
    )
    assert "1[n = best[n']]" in texts["dX"]


def test_indices_differ_from_the_names_of_the_spec() -> None:
    _, derivation = example("clashing")  # n and k are names of the spec, both axes are N long
    for text in subscripts(derivation).values():
        left = text.partition(" = ")[0].partition("[")[2].rstrip("]").split(",")
        assert not {"n", "k"} & set(left)
        assert len(set(left)) == len(left)


def test_plain_ascii_for_terminals_without_unicode() -> None:
    for name in ("affine", "conv", "two_layer", "row_max"):
        assert all(line.isascii() for line in subscript_lines(example(name)[1], ascii=True))
    lines = subscript_lines(example("affine")[1], ascii=True)
    assert lines[1].startswith("dW[d,c] = sum_n ")


@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("name", SPECS)
def test_every_line_evaluates_to_the_derived_values(name: str, staged: bool) -> None:
    spec, derivation = example(name, staged)
    graph = derivation.graph
    sizes = min(size_sets(graph, spec.sizes), key=lambda s: -len(set(s.values())))
    setting = setting_for(graph, sizes, Double())
    rng = np.random.default_rng(1)
    values: dict[str, Any] = run(graph.statements, draw(spec, sizes, rng), setting)
    for output, tensor in derivation.cotangents.upstream.items():
        shape = np.shape(values[output])
        values[tensor.name] = np.ones(()) if derivation.is_loss else rng.standard_normal(shape)
    known = run(derivation.cotangents.statements, values, setting)
    numbers = {**sizes, **{k: float(v) for k, v in graph.constants.items()}}
    texts = subscripts(derivation)
    for line in derivation.lines:
        expected = known.get(line.of if line.role == "inner" else f"d{line.of}")
        if expected is None:
            continue
        values[line.name] = expected
    for line in derivation.lines:
        if line.name not in values:
            continue
        shape = tuple(dim.evaluate(numbers) for dim in line.shape)  # type: ignore[arg-type]
        try:
            found = evaluate(texts[line.name], shape, values, numbers)  # type: ignore[arg-type]
        except NotReadable:
            assert ")[" in texts[line.name], texts[line.name]
            continue
        np.testing.assert_allclose(found, values[line.name], rtol=1e-9, atol=1e-9)


def test_few_lines_are_written_with_array_expressions() -> None:
    """Only reshapes, matrix functions and places of maxima are, so the test above reads most."""
    written = [
        text
        for name in ("affine", "batch_norm", "conv", "two_layer", "attention", "layer_norm")
        for text in subscripts(example(name)[1]).values()
    ]
    assert not [text for text in written if ")[" in text]
