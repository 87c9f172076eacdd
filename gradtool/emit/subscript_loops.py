"""Loops in the subscript form: the lines of a step with the step among the indices.

``dX[n,t,d] = Σ_k dz[n,k] Wx[d,k]`` inside ``for t = T-1, …, 0:``.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradtool.derive.derivation import Derivation
from gradtool.derive.line import Block, Step
from gradtool.emit.loops import tape_note, tape_text
from gradtool.emit.subscripts import ASCII, UNICODE, Printer, Style, dim_text, subscripts
from gradtool.emit.text import text
from gradtool.emit.values import Values
from gradtool.ir.dims import ONE
from gradtool.ir.index import Affine, Index
from gradtool.ir.tree import Call, Items, Name, Slice, Tree


def block_subscripts(derivation: Derivation, block: Block, *, ascii: bool = False) -> list[str]:
    """A loop of the backward pass, line by line."""
    step = Derivation(block.found.graph, {}, block.lines, (), block.closed, block.found)
    printer = _StepPrinter(step, derivation, block, ASCII if ascii else UNICODE)
    return [
        *map(printer.step, block.before),
        _header(block, ascii),
        *(f"    {printer.step(step)}" for step in block.steps),
        *map(printer.step, block.after),
    ]


def _header(block: Block, ascii: bool) -> str:
    first, last = block.first, block.first + block.size - ONE
    ends = (last, first) if block.backwards else (first, last)
    dots = "..." if ascii else "…"
    return f"for {block.index} = {dim_text(ends[0])}, {dots}, {dim_text(ends[1])}:"


def looped_subscripts(derivation: Derivation) -> dict[str, str]:
    """The subscript form of every line by its name; results of one loop share its text."""
    found = subscripts(derivation)
    blocks = {line.block: "" for line in derivation.lines if line.block is not None}
    for block in blocks:
        blocks[block] = "\n".join(block_subscripts(derivation, block))
    return {
        line.name: found[line.name] if line.block is None else blocks[line.block]
        for line in derivation.lines
    }


def looped_lines(derivation: Derivation) -> tuple[str, ...]:
    """The subscript form in an order that can be run; each loop stands once."""
    texts = looped_subscripts(derivation)
    kept = [f"{tape_text(tape)}   {tape_note(tape)}" for tape in derivation.tapes]
    lines = [texts[p.name] for p in derivation.lines if p.role != "inner" or p.of]
    return (*kept, *dict.fromkeys(lines))


class _StepPrinter(Printer):
    """Prints the lines of one step, slices as entries of their arrays."""

    def __init__(self, step: Derivation, around: Derivation, block: Block, style: Style) -> None:
        values = Values(step)
        outside = {name for name in around.graph.tensors if not name.startswith("_")}
        inside = values.taken - set(block.entries)
        values.taken = inside | {*outside, block.index, *around.graph.dimensions}
        super().__init__(values, style)
        self.block = block
        self.sources = {line.name: line for line in block.lines}

    def entries(self, base: str, entries: Sequence[Affine]) -> str:
        place = self.block.entries.get(base)
        if isinstance(place, Name):
            return super().entries(place.id, entries)
        if place is None:
            return super().entries(base, entries)
        return _joined(place, [self.affine(entry) for entry in entries])

    def step(self, step: Step) -> str:
        source = self.sources.get(step.source)
        if source is not None:
            left, right = self.line(source).split(" = ", 1)
            _, opened, places = left.rpartition("[")
            indices = places.rstrip("]").split(",") if opened else []
        else:
            free = self.renamed([Index(f"@{k}", size) for k, size in enumerate(step.shape)], ())
            moved = [Affine.of(index) for index in free.values()]
            indices = [self.affine(entry) for entry in moved]
            zero = isinstance(step.tree, Call) and step.tree.op == "zeros"
            right = "0" if zero else text(step.tree)
            if isinstance(step.tree, Name):
                right = super().entries(step.tree.id, moved)
        return f"{_joined(step.target, indices)} {step.operator} {right}"


def _joined(place: Tree, indices: Sequence[str]) -> str:
    """The indices at the axes that a place leaves open."""
    if isinstance(place, Name):
        return f"{place.id}[{','.join(indices)}]" if indices else place.id
    assert isinstance(place, Call)
    items = place.args[1]
    assert isinstance(items, Items)
    left = list(indices)
    shown = [
        left.pop(0) if isinstance(item, Slice) else text(item).replace(" ", "")
        for item in items.items
    ]
    return f"{text(place.args[0])}[{','.join([*shown, *left])}]"
