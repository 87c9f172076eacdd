"""The size of a typical entry, also where squares overflow."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from gradtool.check.bounds import rms


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], 0.0),
        ([0.0, 0.0], 0.0),
        ([3.0, -4.0], math.sqrt(12.5)),
        ([3e200, -4e200], math.sqrt(12.5) * 1e200),
        ([math.inf, 3.0, math.nan, 4.0], math.sqrt(12.5)),
    ],
)
def test_nothing_is_said_of_what_overflows(entries: list[float], expected: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rms(np.array(entries)) == pytest.approx(expected, rel=1e-14)
        many = rms(np.array(entries * 10_000))
    assert many == pytest.approx(expected, rel=1e-12)
