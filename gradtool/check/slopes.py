"""The slope of a function of a real number, with what is known of its error.

Halved centered differences, extrapolated to a step of zero (Ridders, 1982, "Accurate computation
of F'(x) and F'(x) F''(x)"); or one step into the complex plane, which subtracts nothing and is
exact to rounding, but only where the function is analytic (Squire and Trapp, 1998, "Using complex
variables to estimate derivatives of real functions").
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradtool.records import Struct

_HALVINGS = 4
_COMPLEX_STEP = 1e-30  # nothing is subtracted, so it cannot be too small


class Slope(Struct, frozen=True):
    """`doubt` is how far off `value` may be; infinite where it does not settle: at a kink."""

    value: float
    doubt: float


def real_slope(function: Callable[[complex], complex | None], step: float) -> Slope | None:
    """The slope at zero from centered differences; None where the function has no value.

    The function is asked at real numbers only.
    """
    rows: list[list[float]] = []
    largest = 0.0
    for level in range(_HALVINGS):
        h = step / 2**level
        values = function(h), function(-h)
        if values[0] is None or values[1] is None:
            return None
        above, below = values[0].real, values[1].real
        largest = max(largest, abs(above), abs(below))
        row = [(above - below) / (2 * h)]
        for column in range(level):
            factor = 4.0 ** (column + 1)
            row.append((factor * row[column] - rows[-1][column]) / (factor - 1))
        rows.append(row)
    if not np.all(np.isfinite([entry for row in rows for entry in row])):
        return None
    # The entry of the table that moved least against its two neighbours.
    best, doubt = rows[0][0], float("inf")
    for level in range(1, _HALVINGS):
        for column in range(1, level + 1):
            moved = max(
                abs(rows[level][column] - rows[level][column - 1]),
                abs(rows[level][column] - rows[level - 1][column - 1]),
            )
            if moved < doubt:
                best, doubt = rows[level][column], moved
    noise = float(np.finfo(float).eps) * largest / (step / 2 ** (_HALVINGS - 1))
    return Slope(best, max(doubt, noise))


def complex_slope(function: Callable[[complex], complex | None]) -> float | None:
    """The slope at zero from one step along the imaginary axis; None where there is no value."""
    value = function(1j * _COMPLEX_STEP)
    if value is None or not np.isfinite(value.imag):
        return None
    return value.imag / _COMPLEX_STEP
