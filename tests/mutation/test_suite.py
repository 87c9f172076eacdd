"""Mutants are found, correct code in other styles is not called wrong, the oracle is independent.

A part of what ``python -m tests.mutation`` measures in full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from tests.mutation import oracle
from tests.mutation.__main__ import judged
from tests.mutation.mutate import chosen, mutants
from tests.mutation.suite import (
    CAP,
    CAP_RAISING,
    Bench,
    _locals,
    faulty,
    layer,
    layer_names,
    variant_titles,
)

QUICK = ("affine", "normalise", "embedding")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("suite"))
    yield made
    made.end()


@pytest.mark.parametrize("name", QUICK)
def test_every_mutant_is_found_and_most_causes_are_right(name: str, bench: Bench) -> None:
    results = [judged(bench, mutant)[0] for mutant in faulty(name) if mutant.half == "seen"]
    assert "missed" not in results
    told = [r for r in results if r != "crash"]
    assert told.count("right") + told.count("alike") >= 0.85 * len(told)
    assert told.count("wrong") <= 0.1 * len(told)


@pytest.mark.parametrize("name", layer_names())
def test_a_layer_is_right_in_every_style_and_the_oracle_agrees(name: str, bench: Bench) -> None:
    """One test for all styles: what takes long is to derive a layer."""
    found = layer(name)
    assert oracle.agrees(found.spec, found.text, found.draws)
    for title, text in (("as it is", found.text), *found.variants.items()):
        verdict = bench.judge(found, text)
        assert verdict.verdict == "pass", (title, verdict)


def test_every_layer_has_two_more_styles() -> None:
    assert len(layer_names()) >= 12
    assert all(len(variant_titles(name)) >= 2 for name in layer_names())


@pytest.mark.parametrize("name", QUICK)
def test_the_oracle_agrees_with_the_layer_and_sees_one_part_in_a_million(name: str) -> None:
    found = layer(name)
    assert oracle.is_equivalent(found.spec, found.text, found.points)
    point = found.points[0]
    slightly = {n: g * (1 + 1e-6) for n, g in point.gradients.items()}
    off = oracle.Sample(point.values, point.upstream, point.scalars, slightly)
    assert not oracle.is_equivalent(found.spec, found.text, [off])


@pytest.mark.parametrize("name", QUICK)
def test_directions_tell_what_entries_tell(name: str) -> None:
    found = layer(name)
    told = {m.identity for m in faulty(name) if _agrees(name, m.text)}
    assert oracle.agrees(found.spec, found.text, found.draws)
    assert not told


def _agrees(name: str, text: str) -> bool:
    found = layer(name)
    try:
        with np.errstate(all="ignore"):
            return oracle.agrees(found.spec, text, found.draws)
    except Exception:  # a mutant that raises tells of itself
        return False


def test_both_halves_are_filled() -> None:
    halves = [m.half for name in QUICK for m in faulty(name)]
    assert min(np.unique(halves, return_counts=True)[1]) >= len(halves) // 4


def test_the_sets_of_layers_are_apart() -> None:
    held, opened, others = layer_names("heldout"), layer_names("opened"), layer_names("")
    assert len(held) >= 30
    assert len(opened) >= 50
    assert len(others) >= 12
    assert sorted({*held, *opened, *others}) == layer_names()
    assert {m.half for m in faulty(opened[0])} == {"opened"}
    assert {m.half for m in faulty(others[0])} == {"seen", "unseen"}


def test_a_held_out_layer_gives_some_mutants_of_every_kind_and_always_the_same() -> None:
    name = "retention_loop"
    taken = faulty(name)
    assert {m.half for m in taken} == {"heldout"}
    assert CAP < len(taken) <= CAP + CAP_RAISING
    whole = mutants(name, layer(name).text, _locals(layer(name)))
    again = chosen(whole, CAP, 1)
    assert again == chosen(list(whole), CAP, 1)
    assert again != chosen(whole, CAP, 2)
    kinds = Counter(m.kind for m in again)
    assert set(kinds) == {m.kind for m in whole}
    assert max(kinds.values()) < CAP // 2
