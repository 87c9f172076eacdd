"""Loops as rows of equations: a heading, and the lines of a step below it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gradtool.derive.line import Block, Tape, target_name
from gradtool.derive.recurrence import entry
from gradtool.emit.latex_tree import Printer
from gradtool.ir.dims import ONE, Dim
from gradtool.ir.graph import Graph, Loop, Scan
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Call, Name, Tree, integer, names, replace_names
from gradtool.ops.shape import dim_tree
from gradtool.records import Struct, field

_SIGNS = {"=": "=", "+=": "\\mathrel{+}=", "<-": "\\leftarrow"}


class Row(Struct, frozen=True):
    """A line of a loop, or beside it."""

    target: Tree
    operator: str
    tree: Tree
    inside: bool = False


class Heading(Struct, frozen=True):
    """``for t = T-1, …, 0:``"""

    index: str
    first: Dim
    size: Dim
    backwards: bool


Rows = list[Row | Heading]


def row_latex(row: Row | Heading, printer: Printer) -> str:
    """A row of an align environment."""
    if isinstance(row, Heading):
        last = row.first + row.size - ONE
        ends = (last, row.first) if row.backwards else (row.first, last)
        begin, end = (printer.text(dim_tree(dim)) for dim in ends)
        index = printer.text(Name(row.index))
        return f"&\\text{{for }} {index} = {begin}, \\dots, {end}\\text{{:}}"
    left = printer.text(row.target)
    lead = "\\quad " if row.inside else ""
    return f"{lead}{left} &{_SIGNS[row.operator]} {printer.text(row.tree)}"


def block_rows(block: Block) -> Rows:
    """A loop of the backward pass."""
    carried = {target_name(s.target) for s in block.before}
    rows: Rows = [Row(s.target, "=", _short(s.tree)) for s in block.before]
    rows.append(Heading(block.index, block.first, block.size, block.backwards))
    for step in block.steps:
        travels = isinstance(step.target, Name) and step.target.id in carried
        operator = "<-" if step.operator == "=" and travels else step.operator
        target, tree = step.target, step.tree
        if isinstance(tree, Call) and tree.op == "indexed":
            target = Call("getitem", (target, tree.args[0]))
            tree = tree.args[1]
        rows.append(Row(target, operator, tree, True))
    return [*rows, *(Row(s.target, "=", s.tree) for s in block.after)]


def block_tensors(block: Block) -> Iterable[Tensor]:
    """What a loop of the backward pass defines."""
    yield Tensor(block.index, (), "index", block.first + block.size)
    for step in (*block.before, *block.steps, *block.after):
        if isinstance(step.target, Name):
            yield Tensor(step.target.id, step.shape)


def _short(tree: Tree) -> Tree:
    return integer(0) if isinstance(tree, Call) and tree.op == "zeros" else tree


def forward_rows(
    graph: Graph, loop: Loop, tapes: Sequence[Tape], written: Mapping[str, Tree]
) -> tuple[Rows, list[Tensor]]:
    """A loop of the forward pass, and the values that it names."""
    scans = [s for s in graph.statements if isinstance(s, Scan) and s.loop is loop]
    index = loop.index
    table: dict[str, Tree] = {s.name: _entry_of(s.source, s.axis, index, s.offset)
                              for s in loop.sliced}  # fmt: skip
    labels = {c.result: c.label for c in loop.carried}
    rows: Rows = []
    named: list[Tensor] = [Tensor(index, (), "index", loop.first + loop.size)]
    for carried in loop.carried:
        begin = integer(0) if carried.initial is None else Name(carried.initial.name)
        rows.append(Row(Name(carried.label), "=", replace_names(begin, written)))
        named.append(Tensor(carried.label, loop.body.tensors[carried.result].shape))
    for scan in scans:
        if scan.what == "sum":
            begin = integer(0) if scan.initial is None else Name(scan.initial.name)
            rows.append(Row(Name(scan.out.name), "=", replace_names(begin, written)))
    rows.append(Heading(index, loop.first, loop.size, loop.backwards))
    kept = {tape.name: tape for tape in tapes}
    begins = [s for s in scans if s.out.name in kept and kept[s.out.name].begins]
    for scan in begins:
        rows.append(Row(_place(scan), "=", kept[scan.out.name].tree, True))
    before = _Before(loop, {s.source: _place(s) for s in begins}, len(rows))
    for statement in loop.body.statements:
        tree = replace_names(statement.tree, table)
        name = statement.out.name
        if statement.hidden:
            table[name] = tree
            continue
        label = labels.get(name, name)
        if label != name:
            table[name] = Name(label)
        if isinstance(tree, Call) and tree.op == "indexed":
            target: Tree = Call("getitem", (Name(label), tree.args[0]))
            tree = tree.args[1]
        else:
            target = Name(label)
        rows.append(Row(target, "<-" if name in labels else "=", before.read(tree), True))
        before.replaced(name)
        named.append(Tensor(label, statement.out.shape, statement.out.kind, statement.out.labels))
    for scan in scans:
        value = before.read(table.get(scan.source, Name(scan.source)))
        if scan.what == "sum":
            rows.append(Row(Name(scan.out.name), "+=", value, True))
        elif scan.what == "slices" and scan not in begins:
            rows.append(Row(_place(scan), "=", value, True))
        elif scan.what == "last" and scan.out.name != labels[scan.source]:
            rows.append(Row(Name(scan.out.name), "=", value))
    for name, label, shape in before.needed:
        rows.insert(before.place, Row(Name(name), "=", Name(label), True))
        named.append(Tensor(name, shape))
    return rows, named


class _Before(Struct):
    """What a step begins with, by its name until that has a new value, then by another one.

    Attributes:
        loop: the loop of the forward pass.
        arrays: where the loop keeps some of these values, by their inputs of the body.
        place: the row before which other values get a name.
        needed: those that need one: the input, what the spec calls it, and its shape.
    """

    loop: Loop
    arrays: Mapping[str, Tree]
    place: int
    values: dict[str, Tree] = field(default_factory=dict)
    needed: list[tuple[str, str, tuple[Dim, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.values.update({c.name: Name(c.label) for c in self.loop.carried})

    def read(self, tree: Tree) -> Tree:
        for carried in self.loop.carried:
            own = self.values[carried.name] == Name(carried.name)
            shape = self.loop.body.tensors[carried.result].shape
            entry = (carried.name, carried.label, shape)
            if own and entry not in self.needed and carried.name in names(tree):
                self.needed.append(entry)
        return replace_names(tree, self.values)

    def replaced(self, result: str) -> None:
        """A value of the step has the name of the one that the step began with."""
        for carried in self.loop.carried:
            if carried.result == result:
                self.values[carried.name] = self.arrays.get(carried.name, Name(carried.name))


def _place(scan: Scan) -> Tree:
    return _entry_of(scan.out, scan.axis, scan.loop.index, scan.offset)


def _entry_of(tensor: Tensor, axis: int, index: str, offset: Dim) -> Tree:
    """``X[:, t]``, every axis written: LaTeX has no axes that go without saying."""
    return entry(tensor.name, len(tensor.shape), axis, index, offset)
