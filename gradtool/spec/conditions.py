"""For which sizes a forward pass means what NumPy computes: a window fits, a slice is whole."""

from __future__ import annotations

from collections.abc import Iterable

from gradtool.ir.dims import ZERO, Dim
from gradtool.ir.index import nonnegative
from gradtool.spec.model import LayerSpec


def size_conditions(assumptions: Iterable[Dim], spec: LayerSpec) -> str:
    """``H + 2*pad >= R and N >= 2``: what does not follow from the spec; "" for nothing.

    `assumptions` are sizes that must be >= 0.
    """
    known = {n: Dim.of(v) for n, v in spec.constants.items() if isinstance(v, int)}
    least = {
        n: Dim.of(rule.exactly) if rule.exactly is not None else Dim.of(n) + (rule.minimum - 1)
        for n, rule in spec.sizes.items()
    }
    open_ones = (d for d in assumptions if not nonnegative(d.substitute({**known, **least})))
    return " and ".join(dict.fromkeys(map(_written, open_ones)))


def _written(dim: Dim) -> str:
    """``N - 2 >= 0`` as ``N >= 2``."""
    left = Dim(tuple((m, c) for m, c in dim.terms if c > 0))
    right = left - dim
    if not any(m for m, _ in left.terms):  # 3 >= N
        return f"{right} <= {left}"
    return f"{left} >= {right if right.terms else ZERO}"
