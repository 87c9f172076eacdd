"""Notes stay short: long sizes are described, products of sizes are written as products."""

from __future__ import annotations

import pytest

from gradtool.ir.dims import Dim
from gradtool.report.make_sheet import make_sheet
from gradtool.report.notes import dim_words, shape_words, summed_words
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text

N, C, H, W, R, S = (Dim.of(name) for name in "NCHWRS")


@pytest.mark.parametrize(
    ("dim", "written"),
    [
        (N, "N"),
        (C * 4, "4*C"),
        (H + 1 - R, "H + 1 - R"),
        (N * (H + 1 - R) * (W + 1 - S), "N*(H + 1 - R)*(W + 1 - S)"),
    ],
)
def test_a_size_is_written_as_the_product_that_it_is(dim: Dim, written: str) -> None:
    assert dim_words(dim) == written


def test_a_shape_keeps_its_comma() -> None:
    assert shape_words((N,)) == "(N,)"
    assert shape_words((N * (H + 1 - R) * (W + 1 - S), C)) == "(N*(H + 1 - R)*(W + 1 - S), C)"


@pytest.mark.parametrize(
    ("shape", "places", "words"),
    [
        ((N, C), (0,), "N"),
        ((N, C, H, W), (0, 2, 3), "N, H, W"),
        ((N, C, H + 1 - R, W + 1 - S), (0, 2, 3), "N and the last two axes"),
        ((N, C, H + 1 - R), (0, 2), "N and the last axis"),
        ((N, C, H, R, W, R), (3, 5), "axes 3 and 5"),
        ((N, N), (0, 1), "all axes"),
    ],
)
def test_what_is_summed_is_said_in_few_words(
    shape: tuple[Dim, ...], places: tuple[int, ...], words: str
) -> None:
    assert summed_words(shape, places)[0] == words


@pytest.mark.parametrize(
    ("forward", "kinks"),
    [
        ("Y = where(tril(ones((N, N))) > 0, X, -1e9)", False),
        ("Y = where(b > 0, X, 2 * X)", False),
        ("Y = where(X > 0, X, 2 * X)", True),
        ("Y = relu(X)", True),
        ("Y = X * (b > 0) * (X.sum() > b)", True),
    ],
)
def test_a_mask_is_no_kink(forward: str, kinks: bool) -> None:
    inputs = "{X: [N, N], b: {shape: [N], constant: true, domain: binary}}"
    text = f"layer: t\ninputs: {inputs}\nforward: {forward}\n"
    spec = load_text(text, "layer.yaml")
    sheet, _, _ = make_sheet(spec, graph_of(spec, lambda _: None), None, False)
    assert any(note.startswith("at a kink") for note in sheet.conventions) == kinks
