"""Cotangents that fall into blocks: the gates of an LSTM, the halves of a rotary embedding.

When every use of a value is a slice along one axis, and the slices are disjoint and cover it, the
cotangent is the concatenation of one cotangent for each slice; when every use is one entry of an
axis of a few (``Q, K, V = Z[0], Z[1], Z[2]``), the cotangents are stacked.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradtool.ir.dims import ONE, ZERO, Dim
from gradtool.ir.graph import AnyStatement, Statement
from gradtool.ir.index import Affine, Index, Tensor, nonnegative
from gradtool.ir.poly import NOTHING, Access, Iverson, Poly, access, atom
from gradtool.ir.tree import Call, Items, Name, integer
from gradtool.records import Struct


class Slab(Struct, frozen=True):
    """A slice ``start : start + count`` along one axis, and the value that uses it.

    With `drops` it is one entry, and the axis is gone.
    """

    axis: int
    start: Dim
    count: Dim
    user: str
    drops: bool = False


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
        if found is not None:
            return None
        if entry.as_dim is not None:
            found = Slab(axis, entry.as_dim, ONE, statement.out.name, drops=True)
            continue
        if len(entry.terms) != 1:
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
    drops = known[0].drops
    if any(s.drops != drops for s in known):
        return None
    tiles = _tiles({(s.start, s.count) for s in known}, cotangent.shape[axis])
    if tiles is None:
        return None
    statements: list[AnyStatement] = []
    total = NOTHING
    users_of = {start: {s.user for s in known if s.start == start} for start, _ in tiles}
    shared = {u for at, own in users_of.items() for u in own
              if any(u in other for place, other in users_of.items() if place != at)}  # fmt: skip
    for number, (start, count) in enumerate(tiles):
        local = Index(f"{free[axis].name}@{number}", count)
        here = Affine.of(start) if drops else Affine.of(local) + start
        own = tuple(local if k == axis else i for k, i in enumerate(free)
                    if k != axis or not drops)  # fmt: skip
        inside = [a for a in arrivals if a.slab is not None and a.slab.start == start]
        body = NOTHING
        for arrival in inside:
            body = body + arrival.body.substitute({free[axis]: here})
        users = users_of[start]
        suffix = next(iter(users)) if len(users) == 1 else ""
        if not suffix or suffix.startswith("_") or suffix in shared:
            suffix = str(number + 1)
        shape = tuple(i.size for i in own)
        block = Tensor(f"{cotangent.name}_{suffix}", shape)
        statements.append(Statement(block, own, body, Name(block.name)))
        place = Affine.of(free[axis]) - start
        if drops:
            chosen = atom(Iverson("eq", place))
            total = total + access(block, own) * chosen
            continue
        there = tuple(place if k == axis else Affine.of(i) for k, i in enumerate(free))
        total = total + access(block, there)
    names = Items(tuple(Name(s.out.name) for s in statements))
    tree = Call("stack" if drops else "concatenate", (names,), (("axis", integer(axis)),))
    return [*statements, Statement(cotangent, free, total, tree)]


def is_joined(statement: Statement) -> bool:
    """Whether a cotangent is its blocks, one after the other."""
    return isinstance(statement.tree, Call) and statement.tree.op in ("concatenate", "stack")


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
