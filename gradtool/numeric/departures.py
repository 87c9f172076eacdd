"""Where a formula follows the conventions of single operations, and the layer has another slope."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from gradtool.derive.raising import raised
from gradtool.derive.reveal import shown
from gradtool.emit.text import text
from gradtool.ir.graph import Graph, Scan, computed_from
from gradtool.ir.index import Index
from gradtool.ir.poly import NOTHING, Compare, Function, Poly
from gradtool.ir.tree import Call
from gradtool.numeric.branches import Edge
from gradtool.records import Struct

_SHORT = 60  # characters of an equation that is told


class Departure(Struct, frozen=True):
    """Points at which formulas are not the derivative that the layer has there.

    Attributes:
        of: the variables whose gradients these are.
        where: the equation that such points fulfil: "X == 0"; "" when it has no short text.
        line: of the forward pass, 1-based, that has the operation.
        divides: whether the formula divides by zero there; else it follows conventions.
    """

    of: tuple[str, ...]
    where: str
    line: int
    divides: bool


def departures(
    graph: Graph, edges: Iterable[Edge], of: Sequence[str], divides: bool
) -> tuple[Departure, ...]:
    """What is told of a point with these edges: roots of zero where the formula divides."""
    moving = _moving(graph)
    found: dict[tuple[str, int], Departure] = {}
    for edge in edges:
        if edge.root == divides and (edge.base is None or edge.base.mentions & moving):
            where = _equation(graph, edge)
            found.setdefault((where, edge.line), Departure(tuple(of), where, edge.line, divides))
    return tuple(found.values())


def places(every: Iterable[Departure]) -> str:
    """``X == 0 or X == Z (line 1) or a value of line 2 is at a kink or a tie``."""
    told: list[str] = []
    for line, group in groupby(every, key=lambda one: one.line):
        written = [one.where for one in group]
        known = " or ".join(filter(None, written))
        told += [f"{known} (line {line})"] if known else []
        told += [] if all(written) else [f"a value of line {line} is at a kink or a tie"]
    return " or ".join(told)


def merged(every: Iterable[Departure]) -> tuple[Departure, ...]:
    """The same with one of each place, of all variables."""
    found: dict[tuple[str, int, bool], list[str]] = {}
    for one in every:
        names = found.setdefault((one.where, one.line, one.divides), [])
        names += [name for name in one.of if name not in names]
    return tuple(
        Departure(tuple(of), where, line, divides) for (where, line, divides), of in found.items()
    )


def _moving(graph: Graph) -> frozenset[str]:
    """The values that change with something that gets a gradient: others are at no kink."""
    given = (t.name for t in graph.inputs if t.kind == "real" and t.name in graph.wanted)
    loops = (s.loop.body.tensors for s in graph.statements if isinstance(s, Scan))
    # Of a loop every value: a carried one may be none of what is given.
    return computed_from(graph, given).union(*loops)


def _equation(graph: Graph, edge: Edge) -> str:
    """What `edge` fulfils; "" when that is long."""
    match edge.base:
        case Compare(left=left, right=right):
            sides = [left, right]
        case Function(args=(argument,)):  # abs and sign
            sides = [argument, NOTHING]
        case Poly() as base:
            sides = [base, NOTHING]
        case _:
            return ""
    written = _written(graph, edge.indices, sides)
    if not sides[1].terms:  # X - Z, whether Z - X was meant
        other = _written(graph, edge.indices, [-sides[0], NOTHING])
        written = min(written, other, key=lambda one: (len(one), one))
    hidden = any(part.startswith("_") for part in written.replace("(", " ").split())
    return "" if hidden or len(written) > _SHORT else written


def _written(graph: Graph, indices: Sequence[Index], sides: Sequence[Poly]) -> str:
    used = frozenset[Index]().union(*(side.indices for side in sides))
    free = tuple(index for index in indices if index in used)
    trees = [raised(side, free if side.indices else ()) for side in sides]
    trees = [  # an equation needs no shape of its own
        tree.args[0] if isinstance(tree, Call) and tree.op == "broadcast_to" else tree
        for tree in trees
    ]
    fixed = [not side.mentions for side in sides]
    texts = [text(shown(graph, tree)) for tree in trees]
    # X == 0, however it is compared, and X == Z whichever is compared with the other.
    ordered = sorted(zip(fixed, map(len, texts), texts, strict=True))
    return " == ".join(one for *_, one in ordered)
