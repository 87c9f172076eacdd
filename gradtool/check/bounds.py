"""From how far numbers move to how far off an entry may be.

A bound is a multiple of the largest move that was seen of an entry, or of a typical one of its
array, and a floor.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import TypeAlias

import numpy as np

from gradtool.numeric.shake import Arrays
from gradtool.records import Struct

EPS = float(np.finfo(np.float64).eps)
_UNITS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23}
_FACTOR = 16.0  # rounding inside an algorithm, against rounding of what goes into it
_PER_ROOT = 0.5  # a long sum, added up one by one: a random walk
_PER_TERM = 0.25  # equal terms, added up one by one: they round the same way each time
_TYPICAL = 0.25  # of what is typical; a single entry can stand still by chance
_FAR, _BEYOND = 1e-8, 1e3  # of the values, and times the median: no rounding moves that far
_FLOOR = 32.0  # units in the last place of a typical entry
_ZERO = 4.0  # for what is zero: units of the largest upstream gradient, of 1 for an output
_ALONE = 10_000  # numbers: fewer are multiplied and added by one thread

Pair: TypeAlias = tuple[Arrays, Arrays]
Moved: TypeAlias = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


def unit(dtype: str) -> float:
    """The relative spacing of a type of numbers; that of float64 for all others."""
    return _UNITS.get(dtype, EPS)


class Bounded(Struct, frozen=True):
    """The right outputs and gradients by name, and for each entry how far off is still right."""

    outputs: Arrays
    gradients: Arrays
    output_bounds: Arrays
    gradient_bounds: Arrays


def only(pair: Pair, name: str) -> Moved:
    """One output or gradient."""
    one, other = ({n: array for n, array in found.items() if n == name} for found in pair)
    return one, other


def stretched(double: Pair, rounded: Pair, by: float) -> Pair:
    """The error of another precision, as large as it would be in the precision asked for."""

    def moved(right: Arrays, other: Arrays) -> dict[str, np.ndarray]:
        with np.errstate(all="ignore"):
            errors = {n: (other[n] - v) * by for n, v in right.items()}
        # What overflows in a shorter type says nothing.
        return {n: right[n] + np.where(np.isfinite(e), e, 0.0) for n, e in errors.items()}

    return moved(double[0], rounded[0]), moved(double[1], rounded[1])


def largest(right: Pair, moved: Iterable[Pair], before: Moved | None = None) -> Moved:
    """The largest move of every entry; the moves are taken one by one, to save memory.

    What is no number after a move makes the largest none either; beside moves that are known
    `before` it says nothing.
    """
    if before is not None:
        return _larger(right, moved, before)
    most: Moved = ({}, {})
    mine: set[tuple[int, str]] = set()
    with np.errstate(all="ignore"):
        for pair in moved:
            for role, (found, centre, other) in enumerate(zip(most, right, pair, strict=True)):
                for name, value in centre.items():
                    move = np.asarray(other[name] - value)
                    np.abs(move, out=move)
                    known = found.get(name)
                    if known is None:
                        found[name] = move
                    elif (role, name) in mine and known.dtype == move.dtype:
                        np.maximum(known, move, out=known)
                    else:
                        found[name] = np.asarray(np.maximum(known, move))
                    mine.add((role, name))
    return most


def _larger(right: Pair, moved: Iterable[Pair], before: Moved) -> Moved:
    most = (
        {n: _known(m) for n, m in before[0].items()},
        {n: _known(m) for n, m in before[1].items()},
    )
    with np.errstate(all="ignore"):
        for pair in moved:
            for found, centre, other in zip(most, right, pair, strict=True):
                for name, value in centre.items():
                    move = _known(np.abs(other[name] - value))
                    found[name] = np.fmax(found[name], move) if name in found else move
    return most


def _known(moves: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(np.isfinite(moves), moves, np.nan))


def all_known(right: Pair, most: Moved) -> bool:
    """Whether every entry that is a number has a move that is one."""
    return all(
        not move.size
        or np.isfinite(move.max())
        or bool(np.all(np.isfinite(move) | ~np.isfinite(value[name])))
        for value, moves in zip(right, most, strict=True)
        for name, move in moves.items()
    )


def bounded(
    right: Pair,
    most: Moved,
    upstream: Arrays,
    eps: float,
    work: int,
    terms: float = 0.0,
    share: float = 1.0,
    among: Arrays | None = None,
) -> Bounded:
    """What is right, with its bounds; `among` are all gradients where `right` has only some."""
    with np.errstate(all="ignore"):
        typical = [{n: rms(v) for n, v in found.items()} for found in right]
        zero = _ZERO * eps * max((_largest(u) for u in upstream.values()), default=1.0)
        sizes = typical[1].values() if among is None else map(rms, among.values())
        zero = max([zero, *(eps * size for size in sizes)])
        bounds = [
            {
                n: _bound(v, size[n], moves.get(n), eps, floor, work, terms, share)
                for n, v in found.items()
            }
            for found, size, moves, floor in zip(
                right, typical, most, (_ZERO * eps, zero), strict=True
            )
        ]
    return Bounded(*right, *bounds)


def _bound(
    value: np.ndarray,
    size: float,
    most: np.ndarray | None,
    eps: float,
    zero: float,
    work: int,
    terms: float,
    share: float,
) -> np.ndarray:
    """The bound of every entry; `size` is the value's `rms`."""
    floor = share * _FLOOR * eps * size + zero
    if most is None:
        return np.full(value.shape, floor)
    factor = share * _FACTOR + _PER_ROOT * sqrt(work / max(value.size, 1)) + _PER_TERM * terms
    bound = np.asarray(np.maximum(most, _TYPICAL * _typical(most, size)))
    bound *= factor
    bound += floor
    # Where no move to any side gives a number, no bound is known: such an entry is not compared,
    # and `compare` tells.
    if bound.size and np.isnan(bound.max()):
        bound[np.isnan(bound)] = np.inf
    return bound


def _typical(most: np.ndarray, size: float) -> float:
    """A typical move, of those entries that no kink moves by all they are."""
    usual = rms(most)
    if usual <= _FAR * size:
        return usual
    moved = most[most > 0]
    return rms(moved[moved <= _BEYOND * float(np.median(moved))]) if moved.size else usual


def rms(value: np.ndarray) -> float:
    """The root of the mean square of the finite entries; 0 when there are none."""
    if not value.size:
        return 0.0
    flat = value.ravel()
    # Not BLAS where it has threads: on a busy machine they wait for each other, a hundred times
    # longer.
    # Neither warns of what overflows, which is looked at below.
    total = np.vdot(flat, flat) if flat.size < _ALONE else np.einsum("i,i->", flat, flat)
    mean = float(total) / flat.size
    if not np.isfinite(mean):
        flat = flat[np.isfinite(flat)]
        high = float(np.max(np.abs(flat), initial=0.0))
        return high * float(np.sqrt(np.mean(np.square(flat / high)))) if high else 0.0
    return sqrt(mean)


def _largest(value: np.ndarray) -> float:
    return float(np.max(np.abs(value))) if value.size else 0.0
