"""How far a right answer may lie from the reference: measured, not guessed.

The inputs are moved by one unit in the last place and the reference is evaluated again: what
moves that much is not known better than that.  A floor covers the rounding of sums, which
depends on their order and not on the inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gradtool.check.reference import Reference

EPS = float(np.finfo(np.float64).eps)
# A float32 result is known 2**29 times less well than a float64 one.
FLOAT32 = float(np.finfo(np.float32).eps) / EPS
_SHAKES = 3
_FACTOR = 16.0  # rounding inside an algorithm, against rounding of its inputs
_FLOOR = 256.0  # units in the last place of a typical entry
_PER_ROOT = 4.0  # and a random walk through the longest sum there can be
_ZERO = 4.0  # for a gradient that is zero: units of the largest upstream gradient


@dataclass(frozen=True, slots=True)
class Expected:
    """The right outputs and gradients by name, and for each entry how far off is still right."""

    outputs: Mapping[str, np.ndarray]
    gradients: Mapping[str, np.ndarray]
    output_bounds: Mapping[str, np.ndarray]
    gradient_bounds: Mapping[str, np.ndarray]


def expected(
    reference: Reference,
    values: Mapping[str, np.ndarray],
    upstream: Mapping[str, np.ndarray],
    sizes: Mapping[str, int],
    rng: np.random.Generator,
) -> Expected:
    """The reference at one point, with its bounds."""
    with np.errstate(all="ignore"):
        outputs = reference.forward(values, sizes)
        gradients = reference.backward(values, upstream, sizes)
        moved_outputs, moved_gradients = [], []
        for _ in range(_SHAKES):
            shaken = _shaken(values, rng)
            moved_outputs.append(reference.forward(shaken, sizes))
            moved_gradients.append(reference.backward(shaken, _shaken(upstream, rng), sizes))
    longest = max((v.size for v in (*values.values(), *upstream.values())), default=1)
    floor = EPS * (_FLOOR + _PER_ROOT * float(np.sqrt(longest)))
    zero = _ZERO * EPS * max((_largest(u) for u in upstream.values()), default=1.0)
    zero = max([zero, *(EPS * _rms(g) for g in gradients.values())])
    return Expected(
        outputs,
        gradients,
        {n: _bound(v, [m[n] for m in moved_outputs], floor, EPS) for n, v in outputs.items()},
        {n: _bound(v, [m[n] for m in moved_gradients], floor, zero) for n, v in gradients.items()},
    )


def _bound(value: np.ndarray, moved: list[np.ndarray], floor: float, zero: float) -> np.ndarray:
    moves = [np.abs(other - value) for other in moved]
    most: np.ndarray = np.maximum.reduce(moves)
    # A single entry can stand still by chance: it is given what is typical of the others.
    bound: np.ndarray = np.maximum(_FACTOR * np.maximum(most, _rms(most)), floor * _rms(value))
    return bound + zero


def _shaken(values: Mapping[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Every real entry moved by up to one unit in its last place; labels and masks stay."""
    return {
        name: value * (1 + EPS * rng.choice((-1.0, 1.0), size=value.shape))
        if value.dtype.kind == "f"
        else value
        for name, value in values.items()
    }


def _rms(value: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(value)))) if value.size else 0.0


def _largest(value: np.ndarray) -> float:
    return float(np.max(np.abs(value))) if value.size else 0.0
