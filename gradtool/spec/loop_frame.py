"""The inside of a loop while it is lowered: slices of arrays, collected slices, first names."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from typing import cast

from gradtool.ir.dims import ONE, Dim, shape_text
from gradtool.ir.graph import Sliced
from gradtool.ir.index import Affine, Index, Label, Tensor, nonnegative
from gradtool.ir.tree import Literal, Number, Slice, Tree
from gradtool.ops.build import Builder, Operand, aligned, of_tensor
from gradtool.ops.errors import OpError
from gradtool.records import Struct, field
from gradtool.spec.loop_header import Header
from gradtool.spec.parse import ParseError, Reader

_ONCE = "write each slice once, at the step itself:  H[:, t] = h"


class Collected(Struct, frozen=True):
    """``name[:, t + offset] = source`` in every step."""

    name: str
    source: Tensor
    axis: int
    offset: Dim


class LoopFrame(Struct):
    """One loop under way; implements `gradtool.ops.build.Frame`.

    Attributes:
        outer: the tensors around the loop, whose slices are inputs of its body.
        reserved: names of the graph around the loop.
        targets: shapes of the arrays that the loop collects into.
    """

    header: Header
    outer: Collection[str]
    reserved: set[str]
    targets: dict[str, tuple[Dim, ...]]
    slices: dict[tuple[str, int, str], Sliced] = field(default_factory=dict)
    collected: dict[str, Collected] = field(default_factory=dict)
    assigned: set[str] = field(default_factory=set)

    @property
    def step(self) -> Tensor:
        """The step as a label."""
        return Tensor(self.header.index, (), "index", self.header.first + self.header.size)

    def first_name(self, name: str) -> str | None:
        """What a name is called at its first assignment in the body; None for a later one."""
        if name in self.assigned:
            return None
        self.assigned.add(name)
        return self.fresh(name)

    def fresh(self, name: str) -> str:
        """The name, or one that tells the step when the graph around the loop has it."""
        made = name
        while made in self.reserved:
            made += f"_{self.header.index}"
        self.reserved.add(made)
        return made

    def tensors(self) -> Iterator[Tensor]:
        """The slices that the body reads, and the step."""
        yield from (o.tensor for o in self._operands.values() if o.tensor is not None)
        yield self.step

    # -- reading ----------------------------------------------------------------------------

    def slice(
        self, build: Builder, x: Operand, entries: Sequence[Tree]
    ) -> tuple[Operand, tuple[Tree, ...]] | None:
        if x.tensor is None or x.tensor.name not in self.outer:
            return None
        entries = _spelled_out(entries, x.rank)
        axis, found = 0, []
        for place, entry in enumerate(entries):
            if isinstance(entry, Literal) and entry.value is None:
                continue
            offset = self._offset(build, entry)
            if offset is not None:
                found.append((place, axis, offset))
            elif not isinstance(entry, Slice | Number) and build.operand(entry).dim is None:
                return None  # other labels: general indexing
            axis += 1
        if len(found) != 1 or axis > x.rank:
            return None
        ((place, axis, offset),) = found
        self._inside(x.tensor, axis, offset, entries[place])
        key = (x.tensor.name, axis, str(offset))
        if key not in self.slices:
            source = x.tensor
            shape = (*source.shape[:axis], *source.shape[axis + 1 :])
            name = self.fresh(f"{source.name}_{self.header.index}")
            self.slices[key] = Sliced(name, source, axis, offset)
            self._operands[name] = of_tensor(Tensor(name, shape, source.kind, source.labels))
        rest = (*entries[:place], *entries[place + 1 :])
        if all(e == Slice(None, None, None) for e in rest):
            rest = ()
        return self._operands[self.slices[key].name], rest

    _operands: dict[str, Operand] = field(default_factory=dict)

    def _offset(self, build: Builder, entry: Tree) -> Dim | None:
        """The o of an index ``t + o``."""
        if isinstance(entry, Slice | Literal | Number):
            return None
        operand = build.operand(entry)
        if operand.position is None or operand.rank or operand.dim is not None:
            return None
        position = operand.position(())
        if len(position.terms) != 1 or position.terms[0][1] != ONE:
            return None
        label = position.terms[0][0]
        if not isinstance(label, Label) or label.tensor != self.step:
            return None
        return position.const

    def _inside(self, tensor: Tensor, axis: int, offset: Dim, entry: Tree) -> None:
        first = self.header.first + offset
        room = tensor.shape[axis] - first - self.header.size
        if nonnegative(first) and nonnegative(room):
            return
        t = self.header.index
        last = first + self.header.size - ONE
        raise OpError(
            f"this reaches outside: '{tensor.name}' has the size {tensor.shape[axis]} on axis "
            f"{axis}, {t} + {offset} runs from {first} to {last}"
            if offset.terms
            else f"'{tensor.name}' has the size {tensor.shape[axis]} on axis {axis}, "
            f"{t} runs from {first} to {last}",
            entry.span,
            "change the range of the loop, or the shape of the array",
        )

    # -- collecting -------------------------------------------------------------------------

    def collects(self, target: ast.Subscript) -> bool:
        return isinstance(target.value, ast.Name) and self.mentions(target)

    def mentions(self, target: ast.Subscript) -> bool:
        """Whether the step stands among the entries of an index."""
        return any(
            isinstance(n, ast.Name) and n.id == self.header.index for n in ast.walk(target.slice)
        )

    def collect(self, build: Builder, reader: Reader, target: ast.Subscript, tree: Tree) -> None:
        """``H[:, t] = value``.

        Raises:
            OpError, ParseError: it is no slice at the step, or was written before.
        """
        span = reader.span(target)
        name = cast(ast.Name, target.value).id
        if name not in self.targets:
            raise OpError(
                f"'{name}' is not declared before the loop",
                reader.span(target.value),
                f"write  {name} = zeros(…)  with its whole shape before the loop",
            )
        if name in self.collected:
            raise OpError(f"'{name}' is written twice in a step", span, _ONCE)
        shape = self.targets[name]
        nodes = target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice]
        entries = _spelled_out([reader.entry(node) for node in nodes], len(shape))
        found = [(k, self._offset(build, e)) for k, e in enumerate(entries)]
        steps = [(k, offset) for k, offset in found if offset is not None]
        others = [e for k, e in enumerate(entries) if k not in {k for k, _ in steps}]
        if len(steps) != 1 or any(e != Slice(None, None, None) for e in others):
            raise ParseError(
                "a loop collects whole slices at its step", reader.span(target.slice), _ONCE
            )
        if len(entries) > len(shape):
            raise OpError(
                f"{len(entries)} indices for the shape {shape_text(shape)} of '{name}'", span
            )
        ((axis, offset),) = steps
        self._inside(Tensor(name, shape), axis, offset, entries[axis])
        wanted = (*shape[:axis], *shape[axis + 1 :])
        value = build.operand(tree)
        if value.kind == "index" and value.tensor is None:  # the step itself
            free = build.indices(value.shape)
            value = build.define(free, build.entry(value, free), value.tree)
        if value.kind == "bool" or value.kind == "index":
            raise OpError("a collected value must be real", tree.span, "multiply it by 1.0")
        if value.shape != wanted:
            value = self._spread(build, value, wanted, name, tree)
        self.collected[name] = Collected(name, own_tensor(build, value), axis, offset)

    def _spread(
        self, build: Builder, value: Operand, shape: tuple[Dim, ...], name: str, tree: Tree
    ) -> Operand:
        """The value broadcast to the shape of a slice, as NumPy assigns it."""
        pairs = zip(value.shape[::-1], shape[::-1], strict=False)
        if value.rank > len(shape) or any(a not in (ONE, b) for a, b in pairs):
            raise OpError(
                f"a slice of '{name}' has the shape {shape_text(shape)}, "
                f"found {shape_text(value.shape)}",
                tree.span,
            )
        free = build.indices(shape)
        at = aligned(value, shape)(tuple(Affine.of(i) for i in free))
        return build.define(free, at, value.tree)


def own_tensor(build: Builder, value: Operand) -> Tensor:
    """A tensor of the body that holds a value; a copy when it comes from outside."""
    own = {statement.out.name for statement in build.statements}
    if value.tensor is not None and value.tensor.name in own:
        return value.tensor
    free: tuple[Index, ...] = build.indices(value.shape)
    made = build.define(free, build.entry(value, free), value.tree)
    assert made.tensor is not None
    return made.tensor


def _spelled_out(entries: Sequence[Tree], rank: int) -> tuple[Tree, ...]:
    """The entries with ``...`` written as slices."""
    dots = [k for k, e in enumerate(entries) if isinstance(e, Literal) and e.value == "..."]
    used = sum(1 for e in entries if not isinstance(e, Literal))
    whole = (Slice(None, None, None),) * max(rank - used, 0)
    if len(dots) == 1:
        return (*entries[: dots[0]], *whole, *entries[dots[0] + 1 :])
    return tuple(entries)
