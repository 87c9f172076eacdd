"""Which sides of the conditions of a forward pass a sample shows.

A formula under a condition that never holds is not tested by any number of digits: ``hard_swish``
changes at 3, where hardly any normal number lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gradtool.ir.graph import Graph, Statement
from gradtool.ir.index import Index, Tensor
from gradtool.ir.poly import Poly
from gradtool.ir.tree import Name
from gradtool.numeric.grid import Setting, evaluate
from gradtool.numeric.kinks import switches
from gradtool.numeric.places import Array
from gradtool.records import Struct


class Condition(Struct, frozen=True):
    """Two expressions of which the larger one decides which formula holds; `line` is 1-based."""

    left: Poly
    right: Poly
    line: int


def conditions(graph: Graph) -> tuple[Condition, ...]:
    """The conditions of a forward pass, those inside loops left out."""
    found: dict[str, Condition] = {}
    for statement in graph.statements:
        if isinstance(statement, Statement):
            for pair in switches(statement.body):
                # A condition and its opposite are one.
                left, right = sorted(pair, key=lambda side: (not side.indices, side.key))
                key = f"{statement.out.name} {left.key} {right.key}"
                found.setdefault(key, Condition(left, right, statement.line))
    return tuple(found.values())


def sides(
    asked: Sequence[Condition], known: Mapping[str, Array], setting: Setting
) -> frozenset[tuple[int, bool]]:
    """The number of each condition with True where left is larger somewhere, False where right."""
    seen: set[tuple[int, bool]] = set()
    for number, condition in enumerate(asked):
        a, b = _both(condition, known, setting)
        for side, holds in ((True, a > b), (False, a < b)):
            if np.any(np.asarray(holds, dtype=bool)):
                seen.add((number, side))
    return frozenset(seen)


def gap(condition: Condition, known: Mapping[str, Array], setting: Setting) -> Array:
    """How far the two sides are apart, over the indices that they have."""
    a, b = _both(condition, known, setting)
    return np.asarray(a - b)


def _both(
    condition: Condition, known: Mapping[str, Array], setting: Setting
) -> tuple[Array, Array]:
    indices = condition.left.indices | condition.right.indices
    free = tuple(sorted(indices, key=lambda i: i.name))
    left, right = (_values(s, free, known, setting) for s in (condition.left, condition.right))
    return left, right


def _values(
    body: Poly, free: tuple[Index, ...], known: Mapping[str, Array], setting: Setting
) -> Array:
    out = Tensor("side", tuple(index.size for index in free))
    return evaluate(Statement(out, free, body, Name(out.name)), known, setting)
