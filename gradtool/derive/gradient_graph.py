"""The gradient as a graph: what is printed is read again, and can be differentiated again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from gradtool.derive.derivation import Derivation
from gradtool.derive.line import Line
from gradtool.derive.naming import telling_name, unlike
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import (
    AnyStatement,
    Graph,
    MatrixFunction,
    Reshape,
    Scan,
    Statement,
    operands,
)
from gradtool.ir.index import Affine, Index, Tensor
from gradtool.ir.order import runnable
from gradtool.ir.tree import Call, Name, Tree, names, replace_names
from gradtool.ops.build import renamed
from gradtool.records import Struct, replace
from gradtool.spec.lines import LineReader


class Gradient(Struct, frozen=True):
    """A printed backward pass as a function that can be differentiated again.

    Attributes:
        graph: from the inputs of the forward pass and the upstream gradients to the gradients.
        of: the value of the graph that is the gradient of each variable.
        lines: the printed lines under the names that they have in the graph.
    """

    graph: Graph
    of: Mapping[str, str]
    lines: tuple[Line, ...]


def gradient_graph(derivation: Derivation, texts: Sequence[str]) -> Gradient:
    """The gradient of a layer as a graph, made from the lines as they are printed.

    What is differentiated is what was certified.  A gradient that is a well-known function gets
    the name that people know that function by: the p of a softmax.

    Args:
        texts: the printed lines, one for each of `derivation.lines`.

    Raises:
        UnsupportedError: there is a loop in it.
    """
    forward = derivation.graph
    if any(isinstance(s, Scan) for s in forward.statements):
        raise UnsupportedError(
            "a loop over an axis in second derivatives", "its gradient and --jvp are supported"
        )
    given = [Tensor(name, shape) for name, shape in derivation.upstream.values()]
    made, statements = read_after(forward, given, texts)
    taken = {*forward.tensors, *forward.constants, *forward.dimensions}
    taken |= {line.name for line in derivation.lines} | {t.name for t in given}
    lines: list[Line] = []
    for place, statement in enumerate(statements):
        inner = Line(statement.out.name, "", "cotangent", statement.out.shape, statement.tree)
        if statement.hidden and not any(n.startswith("_") for n in names(statement.tree)):
            name = _usual_name(inner, taken)
            if name != inner.name:
                statements = _renamed(statements, replace(statement.out, name=name), inner.name)
                statements[place] = replace(statements[place], hidden=False)
                lines.append(replace(inner, name=name, role="inner"))
                taken.add(name)
    called: dict[str, Tree] = {}
    of: dict[str, str] = {}
    for line, tensor in zip(derivation.lines, made, strict=True):
        name = _usual_name(line, taken)
        if name != line.name:
            statements = _renamed(statements, replace(tensor, name=name), line.name)
            taken.add(name)
            called[line.name] = Name(name)
        lines.append(replace(line, name=name, tree=replace_names(line.tree, called)))
        if line.role == "gradient":
            of[line.of] = name
    graph = Graph(
        forward.name,
        (*forward.inputs, *given),
        forward.wanted,
        tuple(_needed(_merged([*forward.statements, *statements]), tuple(of.values()))),
        tuple(of.values()),
        forward.constants,
        forward.assumptions,
        (),
        forward.distributions,
        forward.hints,
    )
    return Gradient(graph, of, tuple(lines))


def _renamed(statements: Sequence[AnyStatement], new: Tensor, old: str) -> list[AnyStatement]:
    return [replace(s, out=new) if s.out.name == old else renamed(s, old, new) for s in statements]


def read_after(
    graph: Graph, given: Sequence[Tensor], texts: Sequence[str]
) -> tuple[list[Tensor], list[AnyStatement]]:
    """Lines in the spec language, lowered so that they can stand behind a graph's own statements.

    The tensor that each line defines, and all statements.  A text of several lines is a loop with
    what belongs to it; what that defines is found among the statements.
    """
    reader = LineReader(graph, given)
    reader.build.counter = _highest(graph) + 1  # hidden names of both must not meet
    made: list[Tensor] = []
    for text in texts:
        if "\n" in text:
            reader.read_block(text)
        else:
            made.append(reader.read(text))
    return made, list(reader.statements)


def _merged(statements: Sequence[AnyStatement]) -> list[AnyStatement]:
    """Inner values that the backward pass computes again are those of the forward pass."""
    left = list(statements)
    kept: list[AnyStatement] = []
    seen: dict[str, Tensor] = {}
    while left:
        statement = left.pop(0)
        key = _definition(statement)
        known = None if key is None else seen.setdefault(key, statement.out)
        if key is None or known is None or known is statement.out:
            kept.append(statement)
        elif statement.hidden:
            left = [renamed(other, statement.out.name, known) for other in left]
        elif any(s.out is known and s.hidden for s in kept):
            # The inner value gets the name that the backward pass gave it.
            kept = [
                replace(s, out=statement.out, hidden=False)
                if s.out is known
                else renamed(s, known.name, statement.out)
                for s in kept
            ]
            left = [renamed(other, known.name, statement.out) for other in left]
            seen[key] = statement.out
        else:
            kept.append(statement)
    return kept


def _definition(statement: AnyStatement) -> str | None:
    """A text that is equal for statements with equal values, names of indices aside."""
    out = statement.out
    head = f"{type(statement).__name__} {out.kind} {[str(d) for d in out.shape]}"
    match statement:
        case Statement(free=free, body=body, reduce=reduce, bound=bound):
            places = {i: Affine.of(Index(f"@{k}", i.size)) for k, i in enumerate(free)}
            inner = {i: Affine.of(Index(f"&{k}", i.size)) for k, i in enumerate(bound)}
            return f"{head} {reduce} {body.substitute({**places, **inner}).key}"
        case Reshape(operand=operand):
            return f"{head} {operand.name}"
        case MatrixFunction(function=function, operands=several):
            return f"{head} {function} {several[0].name}"
    return None


def with_definitions(lines: Sequence[Line], gradient: Gradient) -> tuple[Line, ...]:
    """Lines that mention values of the backward pass, after the lines that define those."""
    defined = {line.name: line for line in gradient.lines}
    own = {line.name for line in lines}
    needed: set[str] = set()
    frontier = frozenset[str]().union(*(names(line.tree) for line in lines))
    while frontier:
        found = {n for n in frontier if n in defined and n not in own} - needed
        needed |= found
        frontier = frozenset[str]().union(*(names(defined[n].tree) for n in found))
    before = (
        replace(line, role="inner", of=line.name) for line in gradient.lines if line.name in needed
    )
    # What the backward pass defined may read what the new lines define, under the same name.
    every = [*before, *lines]
    return tuple(runnable(every, lambda line: line.name, lambda line: names(line.tree)))


def _highest(graph: Graph) -> int:
    """The largest number in a hidden name."""
    digits = ("".join(c for c in name if c.isdigit()) for name in graph.tensors)
    return max((int(d) for d in digits if d), default=0)


def _usual_name(line: Line, taken: Collection[str]) -> str:
    """The name of a gradient where it is only a value."""
    if line.role == "inner" or not isinstance(line.tree, Call):
        return line.name
    if line.tree.op not in ("softmax", "sigmoid", "tanh"):
        return line.name
    name = telling_name(line.tree, ())
    return unlike(name.lower() if len(line.shape) == 1 else name, taken)


def _needed(statements: Sequence[AnyStatement], outputs: Sequence[str]) -> list[AnyStatement]:
    """The statements that the outputs need."""
    wanted = set(outputs)
    kept: list[AnyStatement] = []
    for statement in reversed(statements):
        if statement.out.name in wanted:
            wanted |= operands(statement)
            kept.append(statement)
    return kept[::-1]
