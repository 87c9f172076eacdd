"""Sizes and values to test with, drawn so that a mistake cannot hide."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Graph
from gradtool.numeric.grid import Setting
from gradtool.spec.model import LayerSpec, SizeRule, Variable

# Small, pairwise distinct, none a multiple of another where avoidable.
_CANDIDATES = (3, 4, 2, 5, 7, 6, 8, 9, 10, 11, 12, 13)


def size_sets(graph: Graph, rules: Mapping[str, SizeRule]) -> tuple[dict[str, int], ...]:
    """Size sets: two with distinct sizes and no size in common, all equal, and all one.

    A set that breaks a bound or an assumption of the forward pass (a window larger than its
    image) is repaired by enlarging sizes, or left out.

    Raises:
        UnsupportedError: no sizes satisfy the spec.
    """
    names = graph.dimensions
    count = len(names)
    ones = {name: 1 for name in names}
    square = {name: 3 for name in names}
    wanted: list[dict[str, int]] = [
        dict(zip(names, itertools.islice(itertools.cycle(_CANDIDATES), count), strict=False)),
        dict(zip(names, itertools.islice(itertools.cycle(_CANDIDATES[count % 5 + 1:]), count),
                 strict=False)),
        square,
        ones,
    ]
    found: list[dict[str, int]] = []
    for sizes in wanted:
        fitted = _fitted(graph, rules, sizes)
        if fitted is not None and fitted not in found:
            found.append(fitted)
    if not found:
        raise UnsupportedError("no sizes were found that satisfy the spec",
                               "pin some under sizes:")
    return tuple(found)


def _fitted(
    graph: Graph, rules: Mapping[str, SizeRule], sizes: dict[str, int]
) -> dict[str, int] | None:
    """The sizes after pins and bounds, enlarged until every assumption holds."""
    start = dict(sizes)
    for name, rule in rules.items():
        if name in start:
            start[name] = rule.exactly if rule.exactly is not None else max(
                rule.minimum, start[name]
            )
    free = [n for n in start if n not in rules or rules[n].exactly is None]
    for attempt in _nearby(start, free):
        if _allowed(graph, attempt):
            return attempt
    return None


def _nearby(start: dict[str, int], free: list[str]) -> Iterator[dict[str, int]]:
    yield start
    for name in free:
        for more in (1, 2, 3, 4, 6):
            yield {**start, name: start[name] + more}
    generator = random.Random(0)
    for round_number in range(400):
        reach = 3 + round_number // 40
        yield {n: v + (generator.randrange(reach) if n in free else 0) for n, v in start.items()}


def _allowed(graph: Graph, sizes: Mapping[str, int]) -> bool:
    whole = {**sizes, **_integers(graph)}
    try:
        if any(dim.evaluate(whole) < 0 for dim in graph.assumptions):
            return False
        return all(
            dim.evaluate(whole) >= 1 for tensor in graph.tensors.values() for dim in tensor.shape
        )
    except (ZeroDivisionError, ValueError):
        return False


def _integers(graph: Graph) -> dict[str, int]:
    return {n: v for n, v in graph.constants.items() if isinstance(v, int)}


def setting_for(graph: Graph, sizes: Mapping[str, int], arithmetic: Any) -> Setting:
    numbers = {n: Fraction(v) for n, v in graph.constants.items() if not isinstance(v, int)}
    return Setting({**sizes, **_integers(graph)}, numbers, arithmetic)


def draw(
    spec: LayerSpec, sizes: Mapping[str, int], rng: np.random.Generator
) -> dict[str, np.ndarray[Any, Any]]:
    """Values of every input and parameter, each within its domain.

    Reals are normal with standard deviation 1; labels cover repeats and, with more classes than
    labels, missing ones.
    """
    whole = {**sizes, **{n: v for n, v in spec.constants.items() if isinstance(v, int)}}
    drawn: dict[str, np.ndarray[Any, Any]] = {}
    for variable in spec.variables:
        shape = tuple(dim.evaluate(whole) for dim in variable.shape)
        drawn[variable.name] = _draw(variable, shape, whole, drawn, rng)
    return drawn


def _draw(
    variable: Variable,
    shape: tuple[int, ...],
    sizes: Mapping[str, int],
    drawn: Mapping[str, np.ndarray[Any, Any]],
    rng: np.random.Generator,
) -> np.ndarray[Any, Any]:
    if variable.dtype == "bool":
        return rng.random(shape) < 0.6
    if variable.dtype == "index":
        assert variable.index is not None
        count = variable.index.evaluate(sizes)
        values = rng.integers(0, count, shape)
        if variable.excluded is not None:
            other = drawn[variable.excluded]
            shifted = rng.integers(0, max(count - 1, 1), shape)
            values = (other + 1 + shifted) % max(count, 1)
        return np.asarray(values)
    domain = variable.domain
    normal = rng.standard_normal(shape)
    match domain.kind:
        case "positive":
            return np.asarray(np.abs(normal) + 0.25)
        case "nonnegative":
            return np.asarray(np.abs(normal))
        case "binary":
            return np.asarray(rng.random(shape) < 0.6, dtype=float)
        case "probabilities":
            weights = rng.random(shape) + 0.1
            return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
        case "one-hot":
            return np.asarray(np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])])
        case "interval":
            low = None if domain.low is None else float(domain.low)
            high = None if domain.high is None else float(domain.high)
            if low is not None and high is not None:
                return np.asarray(low + (high - low) * (0.05 + 0.9 * rng.random(shape)))
            if low is not None:
                return np.asarray(low + 0.05 + np.abs(normal))
            return np.asarray((high or 0.0) - 0.05 - np.abs(normal))
        case "symmetric":
            return np.asarray((normal + np.swapaxes(normal, -1, -2)) / 2)
        case "positive-definite":
            product = normal @ np.swapaxes(normal, -1, -2)
            return np.asarray(product + 0.5 * np.eye(shape[-1]))
        case "lower-triangular":
            return np.asarray(np.tril(normal) + 1.5 * np.eye(shape[-1]))
    return np.asarray(normal)
