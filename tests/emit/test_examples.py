"""The printers are tried with nearly all examples of the vocabulary."""

from __future__ import annotations

from tests.emit.examples import OTHER_SHAPES, SPECS


def test_few_examples_need_other_shapes() -> None:
    # One looks up rows by labels that are those of columns.
    assert len(OTHER_SHAPES) <= 2
    assert sum(name.startswith("word") for name in SPECS) > 150
