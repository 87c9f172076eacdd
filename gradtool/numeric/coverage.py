"""Which sides of the conditions of a forward pass a sample shows.

A formula under a condition that never holds is not tested by any number of digits: ``hard_swish``
changes at 3, where hardly any normal number lies.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from gradtool.ir.graph import Graph, Statement, operands
from gradtool.ir.index import Index, Tensor
from gradtool.ir.poly import Compare, Poly
from gradtool.ir.tree import Name
from gradtool.ir.walk import accesses, atoms
from gradtool.numeric.grid import Setting, evaluate
from gradtool.numeric.kinks import switches
from gradtool.numeric.places import Array
from gradtool.records import Struct


class Condition(Struct, frozen=True):
    """Two expressions of which the larger one decides which formula holds; `line` is 1-based.

    Where both are equal a differentiable layer has a kink, which is no side.  What no gradient
    reaches, such as a mask, has none: there `equal` says on which side equal values are.
    """

    left: Poly
    right: Poly
    line: int
    equal: bool | None = None


def conditions(graph: Graph) -> tuple[Condition, ...]:
    """The conditions of a forward pass, those inside loops left out."""
    found: dict[str, Condition] = {}
    varied = varied_in(graph)
    for statement in graph.statements:
        if isinstance(statement, Statement):
            fixed = _fixed(statement.body, varied)
            for pair in switches(statement.body):
                # A condition and its opposite are one.
                left, right = sorted(pair, key=lambda side: (not side.indices, side.key))
                key = f"{statement.out.name} {left.key} {right.key}"
                equal = fixed.get((left, right))
                found.setdefault(key, Condition(left, right, statement.line, equal))
    return tuple(found.values())


def varied_in(graph: Graph) -> set[str]:
    """The values that depend on an input whose gradient is asked for."""
    varied = set(graph.wanted)
    for statement in graph.statements:
        if operands(statement) & varied:
            varied.add(statement.out.name)
    return varied


def _fixed(body: Poly, varied: Collection[str]) -> dict[tuple[Poly, Poly], bool]:
    """Comparisons of values that no gradient reaches: whether equal ones count as left larger."""
    found: dict[tuple[Poly, Poly], bool] = {}
    for base in atoms(body):
        if isinstance(base, Compare) and base.relation in (">", ">="):
            if any(a.tensor.name in varied for side in (base.left, base.right)
                   for a in accesses(side)):  # fmt: skip
                continue
            found[base.left, base.right] = base.relation == ">="
            found[base.right, base.left] = base.relation == ">"
    return found


def sides(
    asked: Sequence[Condition], known: Mapping[str, Array], setting: Setting
) -> frozenset[tuple[int, bool]]:
    """The number of each condition with True where left is larger somewhere, False where right."""
    seen: set[tuple[int, bool]] = set()
    for number, condition in enumerate(asked):
        a, b = _both(condition, known, setting)
        for side, holds in ((True, a > b), (False, a < b)):
            if condition.equal is side:
                holds = holds | (a == b)
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
