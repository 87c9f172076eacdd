"""Directions and second derivatives of random programs are right or refused with a typed error."""

from __future__ import annotations

import random

import pytest

from tests.programs.generate import generate
from tests.programs.second import prove_second


# All but the first two once failed: winners of a shorter axis, a size that had been given a name,
# a stack of matrices times a vector transposed as if it were a matrix, a position as a number.
@pytest.mark.parametrize("seed", [0, 4, 12, 18, 68, 70])
def test_random_programs_differentiated_twice(seed: int) -> None:
    for kind, outcome in prove_second(generate(random.Random(seed)), seed).items():
        assert outcome.status in ("agrees", "refused", "undefined"), f"{kind}: {outcome.detail}"
