"""Positions as expression trees: ``stride*i + p - pad``."""

from __future__ import annotations

from collections.abc import Callable

from gradtool.ir.dims import ONE, ZERO, Dim
from gradtool.ir.index import Affine, Index, Label
from gradtool.ir.tree import Tree, call
from gradtool.ops.shape import dim_tree


def is_negative(dim: Dim) -> bool:
    """Whether every coefficient is negative, so that a minus can be written in front."""
    return bool(dim.terms) and all(c < 0 for _, c in dim.terms)


def sides(value: Affine) -> tuple[Affine, Affine]:
    """Two sums without a minus whose difference is `value`: ``i + pad`` and ``j``."""
    left = Affine(
        tuple((place, c) for place, c in value.terms if not is_negative(c)),
        ZERO if is_negative(value.const) else value.const,
    )
    return left, left - value


def affine_tree(
    value: Affine,
    position: Callable[[Index | Label], Tree],
    size: Callable[[Dim], Tree] = dim_tree,
) -> Tree:
    """The sum that `value` is, what is added before what is subtracted: ``K - 1 - best``.

    `position` and `size` write an index, a label and a number of entries.
    """
    signed: list[tuple[bool, Tree]] = []
    for place, coefficient in value.terms:
        minus = is_negative(coefficient)
        by, tree = -coefficient if minus else coefficient, position(place)
        signed.append((minus, tree if by == ONE else call("mul", size(by), tree)))
    if value.const != ZERO:
        minus = is_negative(value.const)
        signed.append((minus, size(-value.const if minus else value.const)))
    result: Tree | None = None
    for minus, tree in sorted(signed, key=lambda part: part[0]):
        if result is None:
            result = call("neg", tree) if minus else tree
        else:
            result = call("sub" if minus else "add", result, tree)
    return size(ZERO) if result is None else result
