"""A formula as a sympy object: a matrix expression when there is one, else sums with indices."""

from __future__ import annotations

from typing import Any

from gradtool.derive.derivation import Derivation
from gradtool.derive.line import Line
from gradtool.emit.sympy_indexed import indexed_form, reshaped_form
from gradtool.emit.sympy_matrix import Matrices, NoMatrix
from gradtool.emit.values import Values
from gradtool.ir.dims import Dim
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Graph, Reshape, Statement
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Call, Name, Tree
from gradtool.ops.build import of_tensor
from gradtool.ops.errors import OpError
from gradtool.records import Struct
from gradtool.spec.lines import LineReader


class SympyForm(Struct, frozen=True):
    """A formula in sympy.

    Attributes:
        expression: a MatrixExpr (a vector has one column), a scalar expression, or one entry.
        indices: when it is one entry: the symbol of each axis, None for an axis of size one;
            empty otherwise.
    """

    expression: Any
    indices: tuple[Any, ...] = ()


def sympy_form(line: Line, derivation: Derivation, given: list[Tensor]) -> SympyForm:
    """The right side of a line.

    Args:
        given: what stands beside the graph's own tensors: upstream gradients, directions.

    Raises:
        UnsupportedError: sympy has no expression for it, such as for a position of a maximum.
    """
    graph = derivation.graph
    values = Values(derivation)
    if not (isinstance(line.tree, Call) and line.tree.op in ("indexed", "loop")):
        reader = _reader(graph, derivation, given)

        def shape(tree: Tree) -> tuple[Dim, ...]:
            return reader.shape(tree)

        try:
            return SympyForm(Matrices(shape, graph.constants).of(line.tree))
        except (NoMatrix, OpError):
            pass
    statement = values.statement(line)
    match line.tree:
        case Call(op="reshape", args=(Name(id=name) as array, *_)) if statement is None:
            form = reshaped_form(line.shape, Tensor(name, shape(array)), values)
            return SympyForm(form.expression, form.indices)
    if not isinstance(statement, Statement | Reshape):
        what = "the result of a loop" if line.block is not None else line.name
        raise UnsupportedError(f"{what} as a sympy expression")
    values.current = line.name
    form = indexed_form(statement, values)
    return SympyForm(form.expression, form.indices)


def _reader(graph: Graph, derivation: Derivation, given: list[Tensor]) -> LineReader:
    reader = LineReader(graph, given)
    for other in derivation.lines:
        known = graph.tensors.get(other.of) if other.role == "inner" else None
        kind, labels = ("real", None) if known is None else (known.kind, known.labels)
        tensor = Tensor(other.name, other.shape, kind, labels)
        reader.build.scope[other.name] = of_tensor(tensor)
    return reader
