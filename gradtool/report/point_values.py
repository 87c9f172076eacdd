"""The numbers of ``--at`` as arrays, and the sizes that they imply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradtool.ir.dims import Dim, shape_text
from gradtool.ir.graph import Graph
from gradtool.report.arguments import Value
from gradtool.spec.model import LayerSpec, Variable
from gradtool.spec.suggest import did_you_mean
from gradtool.spec.usage import UsageError

Array = np.ndarray[Any, Any]


def arrays(
    spec: LayerSpec, graph: Graph, values: Mapping[str, Value]
) -> tuple[dict[str, Array], dict[str, int]]:
    """The inputs as arrays, and every size.

    Raises:
        UsageError: a name is unknown or missing, or a shape, a label or a truth value is wrong.
    """
    known = {v.name: v for v in spec.variables}
    for name in values:
        if name not in known:
            raise UsageError(
                f"--at: {spec.name} has no input or parameter '{name}'",
                did_you_mean(name, known) or f"there are: {', '.join(known)}",
            )
    missing = [name for name in known if name not in values]
    if missing:
        example = ", ".join(f"{n} {shape_text(known[n].shape)}" for n in missing)
        raise UsageError(
            f"--at: no value for {_listed(missing)} of {spec.name}",
            f"give every input and parameter a value; still missing: {example}",
        )
    read = {name: _array(known[name], values[name]) for name in known}
    sizes = _sizes(spec, graph, known, read)
    for name, variable in known.items():
        read[name] = _checked(variable, read[name], sizes)
    return read, {n: s for n, s in sizes.items() if n not in graph.constants}


def _array(variable: Variable, value: Value) -> Array:
    """The value as an array of the right rank."""
    try:
        array = np.asarray(value, dtype=float)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--at: the lists of {variable.name} have unequal lengths",
            f"it must have the shape {shape_text(variable.shape)}",
        ) from None
    if array.ndim != len(variable.shape) or 0 in array.shape:
        raise UsageError(
            f"--at: {variable.name} must have the shape {shape_text(variable.shape)}, "
            f"found {_found(array)}",
            f"for example: --at '{variable.name}={_example(len(variable.shape))}'",
        )
    return array


def _sizes(
    spec: LayerSpec, graph: Graph, known: Mapping[str, Variable], read: Mapping[str, Array]
) -> dict[str, int]:
    sizes = dict(graph.integers)
    source = dict.fromkeys(sizes, "the constants")
    for name, rule in spec.sizes.items():
        if rule.exactly is not None:
            sizes[name], source[name] = rule.exactly, "sizes: of the spec"
    open_ = [
        (v.name, axis, dim, read[v.name].shape[axis])
        for v in known.values()
        for axis, dim in enumerate(v.shape)
    ]
    progress = True
    while progress:
        progress = False
        for name, _, dim, length in open_:
            solved = _solved(dim, length, sizes)
            if solved is not None:
                symbol, size = solved
                sizes[symbol], source[symbol] = size, name
                progress = True
    for name, axis, dim, length in open_:
        if dim.symbols <= set(sizes) and dim.evaluate(sizes) != length:
            origins = [f"{s} is {sizes[s]} in {source[s]}" for s in sorted(dim.symbols)]
            reason = f" ({', '.join(origins)})" if origins else ""
            shape = shape_text(known[name].shape)
            raise UsageError(
                f"--at: axis {axis} of {name} must have the length "
                f"{dim.evaluate(sizes)}{reason}, found {length}",
                f"{name} has the shape {shape}",
            )
    for variable in known.values():
        label = None if variable.index is None else variable.index.as_symbol
        if label is not None and label not in sizes:
            sizes[label] = int(read[variable.name].max()) + 1
    unknown = [n for n in graph.dimensions if n not in sizes]
    if unknown:
        raise UsageError(
            f"--at: the values do not tell the size {_listed(unknown)} of {spec.name}",
            f"pin it in the spec:  sizes: {{{unknown[0]}: 3}}",
        )
    if any(dim.evaluate(sizes) < 0 for dim in graph.assumptions):
        shown = ", ".join(f"{n}={sizes[n]}" for n in graph.dimensions)
        raise UsageError(
            f"--at: the forward pass of {spec.name} is impossible at {shown}",
            "a window or a slice does not fit into its array",
        )
    return sizes


def _solved(dim: Dim, length: int, sizes: Mapping[str, int]) -> tuple[str, int] | None:
    """The one unknown size in ``a*size + b = length``."""
    left = dim.substitute({n: Dim.of(v) for n, v in sizes.items()})
    if len(left.symbols) != 1:
        return None
    (symbol,) = left.symbols
    zero, one, two = (left.evaluate({symbol: k}) for k in (0, 1, 2))
    if two - one != one - zero or one == zero:
        return None  # not linear
    size, rest = divmod(length - zero, one - zero)
    return (symbol, size) if rest == 0 and size >= 1 else None


def _checked(variable: Variable, array: Array, sizes: Mapping[str, int]) -> Array:
    if variable.dtype == "bool":
        if not np.isin(array, (0, 1)).all():
            raise UsageError(f"--at: {variable.name} is true or false: give 0 or 1")
        return array.astype(bool)
    if variable.dtype == "index":
        assert variable.index is not None
        count = variable.index.evaluate(sizes)
        whole = array == np.floor(array)
        if not (whole & (array >= 0) & (array < count)).all():
            raise UsageError(
                f"--at: {variable.name} holds labels: whole numbers from 0 to {count - 1}",
                f"they index an axis of size {variable.index}, counted from 0",
            )
        return array.astype(np.int64)
    return array


def _found(array: Array) -> str:
    if array.ndim == 0:
        return "a single number"
    return shape_text(Dim.of(n) for n in array.shape)


def _example(rank: int) -> str:
    return ("1", "[1, 2]", "[[1, 2], [3, 4]]")[rank] if rank < 3 else "[" * rank + "1" + "]" * rank


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
