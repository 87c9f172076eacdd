"""Where a forward pass has no derivative, and whether a sample keeps away from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gradtool.ir.graph import AnyStatement, Graph, Loop, Scan, Statement
from gradtool.ir.index import Index, Tensor
from gradtool.ir.poly import NOTHING, Compare, Function, Poly, number
from gradtool.ir.tree import Name
from gradtool.ir.walk import atoms
from gradtool.numeric.arithmetic import Double
from gradtool.numeric.grid import Setting, evaluate, run, steps
from gradtool.numeric.sample import setting_for
from gradtool.ops.scalar import FUNCTIONS

Array = np.ndarray[Any, Any]

# Two values are close when they differ by less than this share of the largest among them: far
# above the steps of centered differences, and rare enough that a new draw helps.
GAP = 1e-3

# Numbers of this size stand for minus infinity in the padding of a maximum.
_PADDING = 1e100


def close_kink(
    graph: Graph, values: Mapping[str, Array], sizes: Mapping[str, int], gap: float = GAP
) -> str:
    """What lies close to a kink at these inputs, in words; "" when nothing does.

    A kink is a comparison of two values that are nearly equal, an ``abs`` of nearly zero, or a
    maximum whose two best candidates nearly tie.  Exactly equal values are no danger: they come
    from entries that move together, such as a score minus itself.
    """
    setting = setting_for(graph, sizes, Double())
    with np.errstate(all="ignore"):
        return _close_in(graph.statements, values, setting, gap)


def _close_in(
    statements: Sequence[AnyStatement],
    values: Mapping[str, Array],
    setting: Setting,
    gap: float,
) -> str:
    known = run(statements, values, setting)
    loops: set[Loop] = set()
    for statement in statements:
        if isinstance(statement, Scan) and statement.loop not in loops:
            loops.add(statement.loop)
            for step in steps(statement.loop, known, setting):
                found = _close_in(statement.loop.body.statements, step, setting, gap)
                if found:
                    return found
        if not isinstance(statement, Statement):
            continue
        where = f"line {statement.line}" if statement.line else statement.out.name
        if statement.reduce != "sum" and _ties(statement, known, setting, gap):
            return f"the two best candidates of the {statement.reduce} in {where}"
        for left, right in _switches(statement.body):
            if _close(left, right, known, setting, gap):
                return f"the two sides of a comparison in {where}"
    return ""


def _switches(body: Poly) -> Iterator[tuple[Poly, Poly]]:
    """The pairs of values at whose equality an expression changes its formula."""
    for base in atoms(body):
        match base:
            case Compare(relation=">" | ">=", left=left, right=right):
                yield left, right
            case Function(name=name, args=(argument,)) if FUNCTIONS[name].kinks:
                for kink in FUNCTIONS[name].kinks:
                    yield argument, number(int(kink)) if kink != "0" else NOTHING


def _close(
    left: Poly, right: Poly, known: Mapping[str, Array], setting: Setting, share: float
) -> bool:
    free = tuple(sorted(left.indices | right.indices, key=lambda i: i.name))
    a, b = (_values(side, free, known, setting) for side in (left, right))
    scale = max(np.max(np.abs(a), initial=0), np.max(np.abs(b), initial=0))
    gap = np.abs(a - b)
    return bool(np.any((gap > 0) & (gap <= share * scale)))


def _ties(statement: Statement, known: Mapping[str, Array], setting: Setting, share: float) -> bool:
    every = (*statement.free, *statement.bound)
    grid = _values(statement.body, every, known, setting)
    shape = grid.shape[: len(statement.free)]
    rows = np.sort(grid.reshape(*shape, -1), axis=-1)
    if rows.shape[-1] < 2:
        return False
    best = rows if statement.reduce in ("max", "argmax") else -rows[..., ::-1]
    gap = best[..., -1] - best[..., -2]
    scale = np.max(np.abs(rows), initial=0, where=np.abs(rows) < _PADDING)
    return bool(np.any((gap > 0) & (gap <= share * scale)))


def _values(
    body: Poly, free: tuple[Index, ...], known: Mapping[str, Array], setting: Setting
) -> Array:
    """An expression over the grid of its indices."""
    out = Tensor("probe", tuple(index.size for index in free))
    statement = Statement(out, free, body, Name(out.name))
    return np.asarray(evaluate(statement, known, setting), dtype=float)
