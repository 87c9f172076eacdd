"""Emitted modules treat whole numbers as numbers: an array of integers never takes a fraction.

People hand over one-hot rows, images of bytes and upstream gradients of ones as integers.  What
comes out must be what the same values give as floating point numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.emit.numpy_oracle import small_sets
from tests.layers import BUNDLED, bundled


def _several(value: Any, number: int) -> tuple[Any, ...]:
    return value if number > 1 else (value,)


@pytest.mark.parametrize("name", sorted(BUNDLED))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_integers_give_what_floating_point_numbers_give(name: str) -> None:
    reference = bundled(name)
    sizes = small_sets(reference)[0]
    rng = np.random.default_rng(0)
    drawn = reference.sample(sizes, rng)
    whole: list[Any] = []
    for variable in reference.spec.variables:
        value = drawn[variable.name]
        free = variable.dtype == "real" and not variable.domain and np.ndim(value)
        whole.append(rng.integers(1, 4, np.shape(value)) if free else value)
    exact = [
        np.asarray(value, float) if variable.dtype == "real" else value
        for variable, value in zip(reference.spec.variables, whole, strict=True)
    ]
    keywords = {size: sizes[size] for size in reference.compiled.sizes}
    number = len(reference.outputs)
    found, cache = reference.compiled.forward(*whole, **keywords)
    expected, exact_cache = reference.compiled.forward(*exact, **keywords)
    for one, other in zip(_several(found, number), _several(expected, number), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    shapes = [np.shape(y) for y in _several(expected, number)]
    upstream = [rng.integers(1, 4, shape) if shape else 2 for shape in shapes]
    inexact = [np.asarray(u, float) if np.ndim(u) else float(u) for u in upstream]
    gradients = reference.compiled.backward(_given(upstream), cache)
    right = reference.compiled.backward(_given(inexact), exact_cache)
    for one, other in zip(gradients, right, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def _given(upstream: list[Any]) -> Any:
    return upstream[0] if len(upstream) == 1 else tuple(upstream)
