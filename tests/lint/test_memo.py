"""A reference that remembers says what the reference says, the same numbers in the same order."""

from __future__ import annotations

import numpy as np
import pytest

from gradtool.lint.memo import Remembering
from gradtool.numeric.shake import Shake
from tests.check.references import affine

REFERENCE = affine()


def test_samples_and_what_is_drawn_after_them_are_the_same() -> None:
    memo = Remembering(REFERENCE)
    sizes = REFERENCE.size_sets()[0]
    for seed in (1, 2, 1, 1):
        plain, remembered = np.random.default_rng(seed), np.random.default_rng(seed)
        first, second = REFERENCE.sample(sizes, plain), memo.sample(sizes, remembered)
        assert all(np.array_equal(first[name], second[name]) for name in first)
        assert plain.random() == remembered.random()


def test_gradients_are_the_same_and_cannot_be_changed() -> None:
    memo = Remembering(REFERENCE)
    sizes = REFERENCE.size_sets()[0]
    values = REFERENCE.sample(sizes, np.random.default_rng(0))
    outputs = REFERENCE.forward(values, sizes)
    upstream = {name: np.ones_like(value) for name, value in outputs.items()}
    for _ in range(2):
        first = REFERENCE.evaluate(values, upstream, sizes)[1]
        second = memo.evaluate(values, upstream, sizes)[1]
        assert all(np.array_equal(first[name], second[name]) for name in first)
        with pytest.raises(ValueError, match="read-only"):
            next(iter(second.values()))[...] = 0
    moved = {name: value + 1 for name, value in values.items()}
    (name,) = outputs
    plain = memo.evaluate(values, upstream, sizes)[0][name]
    assert not np.array_equal(memo.evaluate(moved, upstream, sizes)[0][name], plain)
    shaken = memo.evaluate(values, upstream, sizes, shake=Shake(1, 1e-3))[0][name]
    assert not np.array_equal(shaken, plain)
