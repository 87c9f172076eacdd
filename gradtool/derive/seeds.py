"""What forward mode begins with: a direction for each varied value, or every entry by itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from gradtool.ir.dims import ONE
from gradtool.ir.graph import Graph, Scan
from gradtool.ir.index import Affine, Index, Tensor
from gradtool.ir.poly import UNIT, Iverson, Poly, access, atom
from gradtool.records import Struct


class Seeds(Struct, frozen=True):
    """What the tangents of the inputs are.

    Attributes:
        given: the direction of each varied tensor, an array of its shape.
        unit: instead of directions: one tensor, whose tangent is the identity.
        suffix: what makes the name of a tangent of the name of a value.
    """

    given: Mapping[str, Tensor]
    unit: Tensor | None = None
    suffix: str = "dot"

    @staticmethod
    def along(graph: Graph, names: Iterable[str]) -> Seeds:
        """A direction for each of some values: Xdot for X."""
        suffix = _suffix(graph)
        given = {n: Tensor(f"{n}{suffix}", graph.tensors[n].shape) for n in names}
        return Seeds(given, None, suffix)

    @staticmethod
    def identity(graph: Graph, name: str) -> Seeds:
        """Every entry of one value varied by itself."""
        return Seeds({}, graph.tensors[name], _suffix(graph))

    def label(self, name: str) -> str:
        """What the tangent of a value is called."""
        return f"{name}{self.suffix}"

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.given, *((self.unit.name,) if self.unit is not None else ()))

    @property
    def axes(self) -> tuple[Index, ...]:
        """The axes that every tangent has behind its own."""
        if self.unit is None:
            return ()
        return tuple(
            Index(f"~{k}", size)
            for k, size in enumerate(self.unit.shape)  # sorts last
        )

    def at(self, name: str, index: Sequence[Affine]) -> Poly:
        """The tangent of a varied tensor at one entry."""
        if name in self.given:
            return access(self.given[name], index)
        result = UNIT
        for axis, entry in zip(self.axes, index, strict=True):
            here = Affine.of(0) if axis.size == ONE else Affine.of(axis)
            if here != entry:
                result = result * atom(Iverson("eq", here - entry))
        return result


def _suffix(graph: Graph) -> str:
    taken = {*graph.tensors, *graph.constants, *graph.dimensions}
    for statement in graph.statements:
        if isinstance(statement, Scan):
            taken |= {*statement.loop.body.tensors, *(c.label for c in statement.loop.carried)}
    wishes = itertools.chain(("dot", "_dot"), (f"_dot{k}" for k in itertools.count(2)))
    return next(s for s in wishes if not any(f"{name}{s}" in taken for name in taken))
