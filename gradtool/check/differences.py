"""The user's own forward, differentiated along a random direction by centered differences.

Asked only when the forward differs from the spec: it tells a backward that follows its wrong
forward from one that is wrong as well.  Steps are halved and extrapolated (Ridders, 1982,
"Accurate computation of F'(x) and F'(x) F''(x)").  The number of forward evaluations does not
depend on the number of parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

_STEPS = (2e-3, 1e-4, 5e-6)  # of the size of the values; a shorter one may miss a kink
_HALVINGS = 4
_DIRECTIONS = 2
_AGREE = 1e-6  # far above the rounding of a difference, far below a mistake

Outputs = Mapping[str, np.ndarray]


class Forward(Protocol):
    """A forward pass."""

    def __call__(self, values: Mapping[str, np.ndarray]) -> Outputs | None:
        """Its outputs at these values; None where it fails."""

    def foresee(self, values: Sequence[Mapping[str, np.ndarray]]) -> None:
        """Told where it will be evaluated."""


def follows(
    forward: Forward,
    values: Mapping[str, np.ndarray],
    upstream: Mapping[str, np.ndarray],
    name: str,
    gradient: np.ndarray,
    rng: np.random.Generator,
) -> bool | None:
    """Whether `gradient` of `values[name]` is the derivative of `forward`; None if undecided."""
    value = values[name]
    for _ in range(_DIRECTIONS):
        direction = rng.standard_normal(value.shape)
        claimed = float(np.vdot(gradient, direction))
        for step in _STEPS:
            found = _derivative(forward, values, upstream, name, direction, step)
            if found is None:
                return None
            slope, doubt, scale = found
            size = float(np.linalg.norm(gradient)) + abs(slope)
            if doubt <= 1e-3 * size + 1e-9 * scale:
                break
        else:
            return None  # a kink or a random forward: the differences do not settle
        if abs(claimed - slope) > _AGREE * size + 10 * doubt + 1e-9 * scale:
            return False
    return True


def _derivative(
    forward: Forward,
    values: Mapping[str, np.ndarray],
    upstream: Mapping[str, np.ndarray],
    name: str,
    direction: np.ndarray,
    step: float,
) -> tuple[float, float, float] | None:
    """The slope, its uncertainty, and the size of the projected output.

    `step` is the first, as a share of the size of the values.
    """
    value = values[name]
    step *= float(np.sqrt(np.mean(np.square(value)))) or 1.0
    scale = 0.0
    rows: list[list[float]] = []
    widths = [step / 2**level for level in range(_HALVINGS)]
    moved = [
        [{**values, name: value + sign * h * direction} for sign in (1.0, -1.0)] for h in widths
    ]
    forward.foresee([one for pair in moved for one in pair])
    for level, (h, pair) in enumerate(zip(widths, moved, strict=True)):
        sides = []
        for one in pair:
            outputs = forward(one)
            if outputs is None or any(outputs[n].shape != u.shape for n, u in upstream.items()):
                return None
            sides.append(sum(float(np.vdot(u, outputs[n])) for n, u in upstream.items()))
            scale = max(scale, abs(sides[-1]))
        row = [(sides[0] - sides[1]) / (2 * h)]
        for column in range(level):
            factor = 4.0 ** (column + 1)
            row.append((factor * row[column] - rows[-1][column]) / (factor - 1))
        rows.append(row)
    # The entry of the table that moved least against its two neighbours.
    best, doubt = rows[0][0], float("inf")
    for level in range(1, _HALVINGS):
        for column in range(1, level + 1):
            change = max(
                abs(rows[level][column] - rows[level][column - 1]),
                abs(rows[level][column] - rows[level - 1][column - 1]),
            )
            if change < doubt:
                best, doubt = rows[level][column], change
    if not np.isfinite(best):
        return None
    return best, doubt, scale
