"""Shapes in one line are read as a spec's `inputs:`, with places in the user's own text."""

from __future__ import annotations

import pytest

from gradtool.ir.dims import shape_text
from gradtool.spec.errors import SpecError
from gradtool.spec.shorthand import parse_inputs


def test_short_and_long_forms_in_one_line() -> None:
    found = parse_inputs("X: [N, 2*D], s: [], y: {shape: [N], index: C}")
    assert [(v.name, shape_text(v.shape), v.dtype, v.place.column) for v in found] == [
        ("X", "(N, 2*D)", "real", 1),
        ("s", "()", "real", 14),
        ("y", "(N,)", "index", 21),
    ]
    assert {v.role for v in found} == {"input"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1 expected shapes such as 'X: [N, D], W: [D, C]', found nothing"),
        ("X [N]", "1:1 expected shapes such as 'X: [N, D], W: [D, C]', found 'X [N]'"),
        ("X: [N D]", "1:7 inputs.X: expected a size, found 'N D'"),
        (
            "X: [N",
            "1:4 the '[' that opens here is not closed: expected ',' or ']', found the "
            "end of the file",
        ),
        ("X: [N]}, {", "1:8 expected the end of the file, found ', {'"),
        ("X: [N], X: [D]", "1:9 the key 'X' stands twice (first in line 1)"),
        ("X: [N], N: []", "1:9 'N' is an input here and a dimension in line 1"),
        ("X: [N],\nY: N", "2:4 inputs.Y: expected a shape such as [N, D], found 'N'"),
        ("'", "1:1 the text that opens with ' here is never closed"),
        ("X: &a [N]", "1:4 YAML anchors are not allowed in a spec, found '&a'"),
        ("#", "1:1 expected shapes such as 'X: [N, D], W: [D, C]', found '#'"),
        ("x" * 20_000, "1:1 expected at most 10,000 characters"),
    ],
)
def test_problems_are_placed_in_the_text_without_braces(text: str, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_inputs(text)
    (problem,) = caught.value.problems
    assert f"{problem.line}:{problem.column} {problem.message}" == expected
    assert problem.file == "--inputs"
    assert problem.source in ("", *text.split("\n"))
