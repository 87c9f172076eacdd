"""Derive, certify and describe a layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gradtool.derive.derivation import Derivation, derive
from gradtool.derive.guards import Guards
from gradtool.derive.line import Block, Line, Tape
from gradtool.emit.loops import block_lines, tape_note, tape_target
from gradtool.emit.text import line, text
from gradtool.ir.dims import Dim
from gradtool.ir.graph import Graph, Statement, every_statement, leads_to_output
from gradtool.ir.index import Tensor
from gradtool.ir.poly import Compare
from gradtool.ir.tree import Call, Items, Number, Tree
from gradtool.ir.walk import accesses, atoms
from gradtool.numeric.certify import Certificate, certify
from gradtool.numeric.coverage import varied_in
from gradtool.numeric.departures import Departure, places
from gradtool.report.notes import shape_words, summed_words
from gradtool.report.sheet import Row, Sheet
from gradtool.spec.lines import LineReader
from gradtool.spec.model import LayerSpec

_SHORT = 50  # characters of a shape that a note repeats


def _unshown(certificate: Certificate) -> list[str]:
    """What the samples of a certificate do not tell."""
    found = [f"d{name} was 0 at every sample that was tried" for name in certificate.zero]
    if certificate.unseen:
        lines = ", ".join(map(str, certificate.unseen))
        which = "line" if len(certificate.unseen) == 1 else "lines"
        found.append(f"no sample showed both sides of a condition in {which} {lines}")
    return found


def departure_words(every: Sequence[Departure], called: str = "") -> Iterator[str]:
    """Where formulas are not the derivative of the layer, a sentence for the same ones.

    `called`: the name of the formula, if it is no gradient.
    """
    together: dict[tuple[tuple[str, ...], bool], list[Departure]] = {}
    for one in every:
        names = (called,) if called else tuple(f"d{name}" for name in one.of)
        together.setdefault((names, one.divides), []).append(one)
    for (names, divides), group in together.items():
        is_it = "is not it" if len(names) == 1 else "are not it"
        why = "each operation at its kink takes the derivative of one branch"
        if divides:
            is_it = "divides by zero" if len(names) == 1 else "divide by zero"
            why = "an operation on the way has none"
        yield (
            f"where {places(group)} the layer has a derivative, but {' and '.join(names)} {is_it}: "
            f"{why}"
        )


def make_sheet(
    spec: LayerSpec, graph: Graph, wanted: tuple[str, ...] | None, staged: bool
) -> tuple[Sheet, Derivation, Certificate]:
    """The sheet of a spec, with the derivation and certificate that other formats need.

    Raises:
        CertificationError: the derivation does not hold: a bug.
        UnsupportedError: something in the layer is refused.
    """
    derivation = derive(graph, wanted, staged=staged)
    certificate = certify(spec, graph, derivation)
    reader = LineReader(derivation.graph, [Tensor(n, s) for n, s in derivation.upstream.values()])
    rows = [tape_row(tape, derivation.graph) for tape in derivation.tapes]
    blocks: set[Block] = set()
    for entry in derivation.lines:
        if entry.block is not None:
            if entry.block not in blocks:
                blocks.add(entry.block)
                rows.append(loop_row(entry.block, derivation.lines))
                reader.read_block(rows[-1].text)
            continue
        note = "" if _is_indexed(entry.tree) else _note(entry, derivation, reader)
        reader.read(line(entry.name, entry.tree))
        rows.append(
            Row(
                entry.role,
                entry.name,
                entry.of,
                shape_words(entry.shape),
                line(entry.name, entry.tree) if _is_indexed(entry.tree) else text(entry.tree),
                note,
                _is_indexed(entry.tree),
            )
        )
    sheet = Sheet(
        layer=spec.name,
        about=spec.about,
        reference=spec.reference,
        variables=tuple((v.name, shape_words(v.shape)) for v in spec.variables),
        outputs=tuple((n, shape_words(graph.tensors[n].shape)) for n in graph.outputs),
        dims=graph.dimensions,
        forward=tuple(part.rstrip() for part in spec.forward.text.split("\n") if part.strip()),
        rows=tuple(rows),
        zero=derivation.zero,
        remarks=(*graph.remarks, *_unshown(certificate)),
        conventions=(
            *_conventions(derivation.graph),
            *unguarded(derivation.graph, derivation.lines),
        ),
        digits=certificate.digits,
        size_sets=certificate.size_sets,
        skipped=certificate.skipped,
        upstream=tuple(name for name, _ in derivation.upstream.values()),
        extra={},
        compared=tuple(name for name in derivation.zero if leads_to_output(graph, name)),
        departures=tuple(departure_words(certificate.departures)),
    )
    return sheet, derivation, certificate


def tape_row(tape: Tape, graph: Graph) -> Row:
    """What a loop of the forward pass keeps."""
    shape = shape_words(graph.tensors[tape.name].shape)
    return Row("inner", tape_target(tape), "", shape, text(tape.tree), tape_note(tape))


def loop_row(block: Block, lines: Sequence[Line]) -> Row:
    """A loop, with what its results are of."""
    found = (line.of for line in lines if line.block is block)
    shown = "\n".join(block_lines(block))
    return Row("loop", "", ", ".join(filter(None, found)), "", shown)


def _is_indexed(tree: Tree) -> bool:
    return isinstance(tree, Call) and tree.op == "indexed"


def _conventions(graph: Graph) -> list[str]:
    """Values taken where the derivative jumps, when the layer has such a place."""
    found: list[str] = []
    bodies = [s for s in every_statement(graph) if isinstance(s, Statement)]
    varied = varied_in(graph)
    outside = {s.out.name for s in graph.statements}
    compared = [
        (statement, entry)
        for statement in bodies
        for base in atoms(statement.body)
        if isinstance(base, Compare)
        for side in (base.left, base.right)
        for entry in accesses(side)
    ]
    # A mask has no kink; what a loop compares is taken to vary.
    if any(s.out.name not in outside or e.tensor.name in varied for s, e in compared):
        found.append(
            "at a kink the derivative of the branch that the forward pass takes is used "
            "(relu'(0) = 0)"
        )
    if any(s.reduce in ("argmax", "argmin") for s in bodies):
        found.append("a tie of max or min goes to the first entry")
    return found


def unguarded(graph: Graph, lines: Iterable[Line]) -> Iterator[str]:
    """What to know of derivatives that lost the condition under which they are finite."""
    guards = Guards.of_graph(graph)
    bare: list[str] = []
    for entry in lines if guards.any else ():
        if guards.bare(entry.tree) and entry.role == "inner":
            guards = guards.also(entry.name)
        elif guards.bare(entry.tree):
            bare.append(entry.name)
    if bare:
        yield (
            f"{', '.join(bare)} may come out as nan (0 * inf) where a condition is false and what "
            "it guards is not finite; nothing comes from there: 0 is meant"
        )


def _note(entry: Line, derivation: Derivation, reader: LineReader) -> str:
    """The shapes that meet in the formula, or what is summed and why."""
    tree = _core(entry.tree)
    if not isinstance(tree, Call):
        return ""
    if tree.op == "matmul":
        shapes = [shape_words(reader.shape(a)) for a in tree.args]
        return f"{shapes[0]} @ {shapes[1]}"
    if tree.op == "sum":
        shape = reader.shape(tree.args[0])
        summed = [shape[k] for k in _axes(tree, len(shape))]
        over, sizes = summed_words(shape, _axes(tree, len(shape)))
        text = shape_words(shape)
        shown = text if len(text) <= _SHORT else ""
        note = f"{shown} summed over {over}".strip()
        if entry.role == "gradient" and _broadcast_over(entry.of, derivation.graph, summed):
            note += f": {entry.of} was broadcast over {over if sizes else 'them'}"
        return note
    return ""


def _core(tree: Tree) -> Tree:
    """The product or sum inside a scaling."""
    while isinstance(tree, Call) and tree.op in ("mul", "div", "neg"):
        inner = [a for a in tree.args if isinstance(a, Call) and a.op in ("matmul", "sum")]
        if not inner:
            heads = [a for a in tree.args if isinstance(a, Call) and a.op in ("mul", "div", "neg")]
            if not heads:
                return tree
            tree = heads[0]
        else:
            return inner[0]
    return tree


def _axes(tree: Call, rank: int) -> list[int]:
    axis = tree.keyword("axis")
    if axis is None:
        return list(range(rank))
    items = axis.items if isinstance(axis, Items) else (axis,)
    return [int(i.value) % rank for i in items if isinstance(i, Number)]


def _broadcast_over(name: str, graph: Graph, summed: list[Dim]) -> bool:
    """Whether a variable meets arrays that have axes which it lacks."""
    for statement in graph.statements:
        if not isinstance(statement, Statement):
            continue
        for entry in accesses(statement.body):
            if entry.tensor.name == name:
                missing = [i.size for i in statement.free if i not in entry.indices]
                if summed and all(dim in missing for dim in summed):
                    return True
    return False
