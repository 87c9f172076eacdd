"""The entries of an axis that are used one by one have cotangents of their own, which are stacked.

Each layer is also held against differences of its forward text run by NumPy.
"""

from __future__ import annotations

import pytest

from gradtool.derive.derivation import derive
from gradtool.emit.text import line
from gradtool.numeric.reference import reference_for
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_text
from tests.programs.prove import prove
from tests.programs.test_found import found

CASES = {
    # Queries, keys and values from one matrix, as in A. Karpathy's nanoGPT (2022) and timm.
    "one matrix for queries, keys and values": (
        "X: [B, T, H*D]; W: [H*D, 3*H*D]",
        "Z = (X @ W).reshape(B, T, 3, H, D).transpose(2, 0, 3, 1, 4)\n"
        "Q, K, V = Z[0], Z[1], Z[2]\n"
        "P = softmax(Q @ K.transpose(0, 1, 3, 2) / sqrt(D))\n"
        "O = P @ V",
        (
            "dP = dO @ V.transpose(0, 1, 3, 2)",
            "dz = P * (dP - (dP * P).sum(axis=3, keepdims=True))",
            "dZ_Q = dz @ K / sqrt(D)",
            "dZ_K = dz.transpose(0, 1, 3, 2) @ Q / sqrt(D)",
            "dZ_V = P.transpose(0, 1, 3, 2) @ dO",
        ),
    ),
    "the ends of an interval": (
        "a: [N, 2]; b: [N, 2]",
        "lo = maximum(a[:, 0], b[:, 0])\nhi = minimum(a[:, 1], b[:, 1])\nL = (hi - lo)**2",
        (
            "da_lo = dlo * (a[:, 0] >= b[:, 0])",
            "da_hi = dhi * (b[:, 1] >= a[:, 1])",
            "da = stack((da_lo, da_hi), axis=1)",
        ),
    ),
    "rows of a table of weights": (
        "x: [N, D]; p: [3, D]",
        "Y = tanh(p[0] * x + p[1]) * p[2]",
        ("dp = stack((dp_1, dp_2, dp_Y), axis=0)",),
    ),
    # The second entry is used by nothing: there is no block for it.
    "an entry that nothing reads": ("p: [3, D]", "Y = p[0] * p[2]", ()),
    # An axis that is read whole, too, has no blocks.
    "an axis that is read whole, too": ("p: [2, D]", "Y = p[0] * p[1] + p.sum(axis=0)", ()),
    "an entry and a slice": ("p: [3, D]", "Y = p[0] * p[1:].sum(axis=0)", ()),
    "entries of two axes": ("p: [2, 2]", "Y = p[0, 0] * p[1, 1] - p[0, 1] * p[1, 0]", ()),
    "a diagonal beside an entry": ("p: [2, 2]", "Y = p[0] * p[1] + diag(p)", ()),
    "the last entry": ("p: [2, D]", "Y = p[-1] * p[0]", ("dp = stack((dp_1, dp_2), axis=0)",)),
}


@pytest.mark.parametrize("name", CASES)
def test_blocks_that_are_stacked(name: str) -> None:
    shapes, forward, expected = CASES[name]
    block = forward.replace("\n", "\n  ")
    inputs = shapes.replace(";", ",")
    spec = load_text(f"layer: t\ninputs: {{{inputs}}}\nforward: |\n  {block}\n", "layer.yaml")
    lines = [line(x.name, x.tree) for x in derive(graph_of(spec, lambda _: None)).lines]
    assert {*expected} <= {*lines}
    assert any("stack" in x for x in lines) == bool(expected)


def test_blocks_of_one_value_have_names_of_their_own() -> None:
    """Both halves are used by Y, after which both blocks were called."""
    text = "layer: t\ninputs: {p: [2*D]}\nforward: Y[d < D] = p[d] * p[d + D]\n"
    spec = load_text(text, "layer.yaml")
    assert [line(x.name, x.tree) for x in derive(graph_of(spec, lambda _: None)).lines] == [
        "dp_1 = dY * p[D:]",
        "dp_2 = dY * p[:D]",
        "dp = concatenate((dp_1, dp_2), axis=0)",
    ]
    reference_for(spec, lambda _: None)  # holds the emitted code against differences


@pytest.mark.parametrize("name", CASES)
def test_the_values_agree(name: str) -> None:
    shapes, forward, _ = CASES[name]
    lines = forward.split("\n")
    unpacked = "Q, K, V = Z[0], Z[1], Z[2]"
    if unpacked in lines:
        place = lines.index(unpacked)
        lines[place : place + 1] = ["Q = Z[0]", "K = Z[1]", "V = Z[2]"]
    outcome = prove(found(shapes, "\n".join(lines)), seed=3)
    assert outcome.status == "agrees", outcome.detail
