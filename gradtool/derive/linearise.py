"""The derivative of a graph: along a direction, or every entry by every entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gradtool.derive.addends import reordered
from gradtool.derive.compact import Closed, compact
from gradtool.derive.derivation import Derivation, written_lines
from gradtool.derive.forward_mode import tangents
from gradtool.derive.knowledge import Knowledge
from gradtool.derive.line import Line, Tape
from gradtool.derive.matrix_form import raised_derivative
from gradtool.derive.raising import raised
from gradtool.derive.recurrence import with_blocks
from gradtool.derive.reverse import Cotangents
from gradtool.derive.seeds import Seeds
from gradtool.derive.simplify import simplified
from gradtool.ir.graph import Graph, Statement
from gradtool.ir.index import Affine, Index
from gradtool.ir.poly import Poly
from gradtool.ir.tree import Tree, names
from gradtool.records import Struct, replace


class Linearised(Struct, frozen=True):
    """A derivative of a graph.

    Attributes:
        derivation: its lines; `upstream` are the directions, by the value that they vary.
        results: the line of each output that depends on what is varied, by the output's name.
        zero: the outputs that do not.
        symmetric: proved to be its own transpose (with the axes of both sides exchanged).
    """

    derivation: Derivation
    results: Mapping[str, Line]
    zero: tuple[str, ...]
    symmetric: bool = False


def along(graph: Graph, varied: Sequence[str], *, staged: bool = False) -> Linearised:
    """How the outputs of a graph change along directions of some of its inputs.

    Raises:
        UnsupportedError: a statement without a rule for its tangent.
    """
    seeds = Seeds.along(graph, varied)
    found = tangents(graph, seeds)

    def step_lines(step: Cotangents, wanted: tuple[str, ...]) -> tuple[list[Line], Closed]:
        closed = compact(step, wanted, staged=staged, direction="forward")
        lines = written_lines(
            step,
            closed,
            wanted,
            staged=staged,
            label=seeds.label,
            raising=lambda body, free, taken: reordered(
                raised(body, free, taken), _by_tangents(step)
            ),
            apart={s.out.name for s in step.graph.statements if not s.hidden},
        )
        return lines, closed

    lines, closed = step_lines(found, graph.outputs)
    shown = found.graph
    tapes: tuple[Tape, ...] = ()
    if found.turned:
        lines, shown, tapes = with_blocks(lines, found, closed, step_lines)
    zero = tuple(name for name in graph.outputs if name not in closed.gradients)
    given = {name: (t.name, t.shape) for name, t in seeds.given.items()}
    derivation = Derivation(shown, given, tuple(lines), zero, closed, found, tapes)
    return Linearised(derivation, _results(lines), zero)


def _by_tangents(found: Cotangents) -> Callable[[Tree], tuple[int, int]]:
    """As people write a product rule: ``W @ hdot + Wdot @ h + bdot``.

    What comes from further back stands first; of the directions, matrices before vectors.
    """
    place = {name: k for k, name in enumerate(found.graph.tensors)}
    known = {
        t.name: (-len(t.shape) if name in found.upstream else -99, place[name])
        for name, t in found.of.items()
    }
    return lambda tree: min((known[n] for n in names(tree) if n in known), default=(0, 0))


def jacobian_of(graph: Graph, of: str, wrt: str, name: str) -> Linearised:
    """The derivative of every entry of one output by every entry of one input, as one formula.

    Its axes are those of the output, then those of the input.  `name` is what it is called.

    Raises:
        UnsupportedError: it would be too long, or a statement has no rule.
    """
    graph = replace(graph, outputs=(of,))
    seeds = Seeds.identity(graph, wrt)
    found = tangents(graph, seeds)
    closed = compact(found, (of,), direction="whole")
    lines = written_lines(found, closed, (of,), label=seeds.label, raising=raised_derivative)
    named = tuple(replace(p, name=name) if p.role == "gradient" else p for p in lines)
    zero = () if of in closed.gradients else (of,)
    derivation = Derivation(found.graph, {}, named, zero, closed, found)
    return Linearised(derivation, _results(named), zero, _symmetric(derivation, of, wrt))


def _results(lines: Sequence[Line]) -> dict[str, Line]:
    return {line.of: line for line in lines if line.role == "gradient"}


def _symmetric(derivation: Derivation, of: str, wrt: str) -> bool:
    """Whether the normal form stays the same when rows and columns change places."""
    graph = derivation.graph
    if graph.tensors[of].shape != graph.tensors[wrt].shape:
        return False
    cotangent = derivation.cotangents.of.get(of)
    if cotangent is None:
        return True  # zero
    statement = next(s for s in derivation.closed.statements if s.out.name == cotangent.name)
    if not isinstance(statement, Statement):
        return False
    count = len(statement.free) // 2
    rows, columns = statement.free[:count], statement.free[count:]
    swapped = _exchanged(statement.body, rows, columns)
    difference = statement.body - swapped
    return not difference.terms or not simplified(difference, Knowledge.of_graph(graph)).terms


def _exchanged(body: Poly, rows: Sequence[Index], columns: Sequence[Index]) -> Poly:
    aside = [Index(f"{k}:aside", i.size) for k, i in enumerate(rows)]

    def to(old: Sequence[Index], new: Sequence[Index]) -> dict[Index, Affine]:
        return {a: Affine.of(b) for a, b in zip(old, new, strict=True)}

    moved = body.substitute(to(rows, aside)).substitute(to(columns, rows))
    return moved.substitute(to(aside, columns))
