"""Cotangents that fall into blocks: the gates of an LSTM, the halves of a rotary embedding.

When every use of a value is a slice along one axis, and the slices are disjoint and cover it, the
cotangent is the concatenation of one cotangent for each slice.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradtool.ir.dims import ZERO, Dim
from gradtool.ir.graph import AnyStatement, Statement
from gradtool.ir.index import Affine, Index, Tensor, nonnegative
from gradtool.ir.poly import NOTHING, Access, Poly, access
from gradtool.ir.tree import Call, Items, Name, integer
from gradtool.records import Struct


class Slab(Struct, frozen=True):
    """A slice ``start : start + count`` along one axis, and the value that uses it."""

    axis: int
    start: Dim
    count: Dim
    user: str


class Arrival(Struct, frozen=True):
    """A contribution to a cotangent, and the slice that it fills (None: not one slice)."""

    body: Poly
    slab: Slab | None


def slab_of(target: Access, statement: Statement) -> Slab | None:
    """The slice of a tensor that an access reads, when it is one along a single axis."""
    found: Slab | None = None
    for axis, (size, entry) in enumerate(zip(target.tensor.shape, target.index, strict=True)):
        bare = entry.as_index
        if bare is not None and bare.size == size:
            continue
        if entry.as_dim == ZERO and size.as_int == 1:
            continue
        if len(entry.terms) != 1 or found is not None:
            return None
        index, step = entry.terms[0]
        if not isinstance(index, Index) or step.as_int != 1:
            return None
        found = Slab(axis, entry.const, index.size, statement.out.name)
    indices = [e.as_index for e in target.index if e.as_index is not None]
    return found if len(set(indices)) == len(indices) else None


def joined_blocks(
    cotangent: Tensor, free: tuple[Index, ...], arrivals: Sequence[Arrival]
) -> list[AnyStatement] | None:
    """A statement for each block and their concatenation; None when there are no blocks."""
    slabs = [a.slab for a in arrivals]
    known = [s for s in slabs if s is not None]
    if len(known) != len(slabs) or len({s.axis for s in known}) != 1:
        return None
    axis = known[0].axis
    tiles = _tiles({(s.start, s.count) for s in known}, cotangent.shape[axis])
    if tiles is None:
        return None
    statements: list[AnyStatement] = []
    total = NOTHING
    for number, (start, count) in enumerate(tiles):
        local = Index(f"{free[axis].name}@{number}", count)
        own = tuple(local if k == axis else i for k, i in enumerate(free))
        inside = [a for a in arrivals if a.slab is not None and a.slab.start == start]
        body = NOTHING
        for arrival in inside:
            body = body + arrival.body.substitute({free[axis]: Affine.of(local) + start})
        users = {a.slab.user for a in inside if a.slab is not None}
        suffix = users.pop() if len(users) == 1 else ""
        if not suffix or suffix.startswith("_"):
            suffix = str(number + 1)
        shape = tuple(i.size for i in own)
        block = Tensor(f"{cotangent.name}_{suffix}", shape)
        statements.append(Statement(block, own, body, Name(block.name)))
        there = tuple(
            Affine.of(i) - start if k == axis else Affine.of(i) for k, i in enumerate(free)
        )
        total = total + access(block, there)
    names = Items(tuple(Name(s.out.name) for s in statements))
    tree = Call("concatenate", (names,), (("axis", integer(axis)),))
    return [*statements, Statement(cotangent, free, total, tree)]


def is_joined(statement: Statement) -> bool:
    """Whether a cotangent is the concatenation of its blocks."""
    return isinstance(statement.tree, Call) and statement.tree.op == "concatenate"


def _tiles(ranges: set[tuple[Dim, Dim]], size: Dim) -> list[tuple[Dim, Dim]] | None:
    """The ranges in order, when they are disjoint and cover an axis of this size."""
    if len(ranges) < 2:
        return None
    left = set(ranges)
    ordered: list[tuple[Dim, Dim]] = []
    position = ZERO
    while left:
        following = [r for r in left if r[0] == position]
        if len(following) != 1 or not nonnegative(following[0][1]):
            return None
        ordered.append(following[0])
        left.remove(following[0])
        position = position + following[0][1]
    return ordered if position == size else None
