"""Values of a layer's inputs and parameters, each within its domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradtool.spec.model import LayerSpec, Variable


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
        case "sign":
            return np.where(rng.random(shape) < 0.5, -1.0, 1.0)
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
