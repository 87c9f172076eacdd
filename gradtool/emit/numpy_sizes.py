"""Sizes of an emitted function, read off the shapes of its arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradtool.emit.numpy_printer import numpy_text
from gradtool.emit.numpy_steps import Step
from gradtool.ir.dims import Dim
from gradtool.ir.tree import Name, Tree, call, integer


def read_sizes(sizes: Iterable[str], shapes: Sequence[tuple[str, tuple[Dim, ...]]]) -> list[Step]:
    """Lines such as ``N, D = X.shape`` or ``N = X.shape[0]`` for as many sizes as possible."""
    wanted = list(sizes)
    steps: list[Step] = []
    for name, shape in shapes:
        here = [(a, d.as_symbol) for a, d in enumerate(shape) if d.as_symbol in wanted]
        first = {symbol: axis for axis, symbol in reversed(here) if symbol is not None}
        if not first:
            continue
        if len(first) == 1:
            ((symbol, axis),) = first.items()
            text = f"{symbol} = {name}.shape[{axis}]"
            steps.append(Step(symbol, (text,), frozenset({name})))
        else:
            place = {axis: symbol for symbol, axis in first.items()}
            parts = [place.get(axis, "_") for axis in range(len(shape))]
            text = f"{', '.join(parts)} = {name}.shape"
            steps.append(Step(", ".join(place.values()), (text,), frozenset({name})))
        wanted = [w for w in wanted if w not in first]
    for symbol in wanted:
        solved = _solved(symbol, shapes)
        if solved is not None:
            steps.append(solved)
    return steps


def _solved(symbol: str, shapes: Sequence[tuple[str, tuple[Dim, ...]]]) -> Step | None:
    """A size that occurs only inside an expression such as ``2*H + 1``."""
    for name, shape in shapes:
        for axis, dim in enumerate(shape):
            if dim.symbols != {symbol}:
                continue
            rest = dim.substitute({symbol: Dim.of(0)})
            slope = (dim - rest).divided_by(Dim.of(symbol))
            if slope is None or slope.as_int is None or rest.as_int is None:
                continue
            tree: Tree = Name(f"{name}.shape[{axis}]")
            if rest.as_int:
                tree = call("sub", tree, integer(rest.as_int))
            if slope.as_int != 1:
                tree = call("floordiv", tree, integer(slope.as_int))
            return Step(symbol, (f"{symbol} = {numpy_text(tree)}",), frozenset({name}))
    return None
