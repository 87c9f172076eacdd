"""One assignment of a backward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gradtool.ir.dims import Dim
from gradtool.ir.graph import Loop
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Call, Name, Tree, names
from gradtool.records import Struct

if TYPE_CHECKING:  # sympy, which printers do without
    from gradtool.derive.compact import Closed
    from gradtool.derive.cotangents import Cotangents


class Line(Struct, frozen=True):
    """One assignment of the backward pass.

    Attributes:
        name: what it defines (``dW``, a kept cotangent, or an inner value of the forward pass).
        of: the forward value that it is the cotangent of; the graph's own name for an inner value.
        role: "inner", "cotangent" or "gradient".
        shape: its shape.
        tree: its right side; of a loop's result, a Call of "loop" on the names that the loop reads.
        block: the loop that a result comes from.
    """

    name: str
    of: str
    role: str
    shape: tuple[Dim, ...]
    tree: Tree
    block: Block | None = None


class Step(Struct, frozen=True):
    """A line of a loop: ``dX[:, t] = …`` or ``dW += …``.

    Attributes:
        tree: the right side as it is written.
        inner: the same with names of the step for what is written as entries (`Block.entries`).
        source: the name of the line of the step that it is written from; "" for none.
    """

    target: Tree
    operator: str
    tree: Tree
    shape: tuple[Dim, ...]
    inner: Tree
    source: str = ""


class Block(Struct, frozen=True, eq=False):
    """A loop of the backward pass, as it is written.

    Attributes:
        index, first, size, backwards: its steps.
        before: the values that it begins with.
        steps: the lines of one step.
        after: what its last values are called.
        entries: how slices and values of a step are written: ``X[:, t]`` for the body's X_t.
        values: the tensors of the step that are written so.
        loop: the loop of the forward pass.
        lines, closed, found: one step alone, as a backward pass of its own.
    """

    index: str
    first: Dim
    size: Dim
    backwards: bool
    before: tuple[Step, ...]
    steps: tuple[Step, ...]
    after: tuple[Step, ...]
    entries: Mapping[str, Tree]
    values: Mapping[str, Tensor]
    loop: Loop
    lines: tuple[Line, ...]
    closed: Closed
    found: Cotangents

    @property
    def reads(self) -> frozenset[str]:
        """The names that it needs."""
        every = (*self.before, *self.steps, *self.after)
        made = {target_name(step.target) for step in every} | {self.index}
        inside = frozenset[str]().union(*(names(step.tree) for step in every))
        return inside - made


class Tape(Struct, frozen=True):
    """A value that the forward loop keeps for the backward pass: ``i_at[t] = i``.

    Attributes:
        name: the array, with the step on its first axis.
        index: the step; empty for a value that the loop begins with: ``h_start = h``.
        tree: the value, in names of the step.
        begins: whether it is the value that the step begins with.
        line: 1-based line of the loop.
    """

    name: str
    index: str
    tree: Tree
    begins: bool
    line: int


def target_name(target: Tree) -> str:
    """The array that a line defines or adds to."""
    while isinstance(target, Call):
        target = target.args[0]
    assert isinstance(target, Name)
    return target.id
