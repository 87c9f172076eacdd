"""Directions, Jacobians and second derivatives of a layer, ready to be printed.

A Jacobian is the derivative of the forward pass.  A Hessian is the derivative of the *gradient*:
the printed backward pass is a graph in the same language, and is differentiated like any other.
For an output Y that is no scalar, the gradient is that of ``sum(dY * Y)``, with dY held fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from gradtool.derive.derivation import Derivation, derive, is_loss
from gradtool.derive.gradient_graph import Gradient, gradient_graph, with_definitions
from gradtool.derive.line import Line, Tape
from gradtool.derive.linearise import Linearised, along, jacobian_of
from gradtool.derive.naming import unlike
from gradtool.ir.dims import Dim
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Graph, operands
from gradtool.ir.tree import Name, Tree, replace_names
from gradtool.records import Struct, replace

Kind: TypeAlias = Literal["jvp", "jacobian", "hvp", "hessian"]
Written: TypeAlias = Callable[[str, Tree], str]


class Result(Struct, frozen=True):
    """One array that was asked for.

    Attributes:
        name: what it is called.
        of: whose change it is: an output, or (second order) a variable, meaning its gradient.
        wrt: the variable that is varied; "" when all of them are, along given directions.
        shape: its axes: those of `of`, then those of `wrt`.
        zero: nothing that is varied changes it.
        symmetric: proved to be its own transpose, the axes of both sides exchanged.
    """

    name: str
    of: str
    wrt: str
    shape: tuple[Dim, ...]
    zero: bool
    symmetric: bool = False


class Differential(Struct, frozen=True):
    """The answer to --jvp, --jacobian, --hvp or --hessian.

    Attributes:
        graph: the forward pass; what is varied is among its inputs.
        first: the gradient that was differentiated; None for first derivatives.
        lines: everything that must be computed after the forward pass, in order.
        directions: name and shape of the direction of each varied tensor.
        linear: the derivations that the lines come from, for other formats.
    """

    kind: Kind
    graph: Graph
    first: Derivation | None
    lines: tuple[Line, ...]
    results: tuple[Result, ...]
    directions: dict[str, tuple[str, tuple[Dim, ...]]]
    linear: tuple[Linearised, ...]

    @property
    def tapes(self) -> tuple[Tape, ...]:
        """What the loops of the forward pass keep for the lines."""
        return tuple(tape for linear in self.linear for tape in linear.derivation.tapes)

    @property
    def upstream(self) -> dict[str, tuple[str, tuple[Dim, ...]]]:
        """The upstream gradients that are held fixed (second order, no loss)."""
        return {} if self.first is None else dict(self.first.upstream)

    @property
    def is_loss(self) -> bool:
        return is_loss(self.graph)


def jvp(graph: Graph, varied: Sequence[str], *, staged: bool = False) -> Differential:
    """How every output changes along directions of the varied tensors."""
    graph = cut(graph, varied)
    linear = along(graph, varied, staged=staged)
    results = tuple(
        _result(linear, name, name, "", graph.tensors[name].shape) for name in graph.outputs
    )
    suffix = next(iter(linear.derivation.upstream.values()))[0].removeprefix(varied[0])
    taken = _names(graph) | {line.name for line in linear.derivation.lines}
    results = tuple(
        replace(r, name=unlike(f"{r.of}{suffix}", taken)) if r.zero else r for r in results
    )
    lines = linear.derivation.lines
    if linear.derivation.tapes:
        graph = linear.derivation.graph  # its loops keep what those of the tangents read
    return Differential("jvp", graph, None, lines, results, _directions(linear), (linear,))


def jacobian(graph: Graph, pairs: Sequence[tuple[str, str]]) -> Differential:
    """The derivative of each output by each variable, for pairs of both."""
    graph = cut(graph, tuple(wrt for _, wrt in pairs))
    taken = _names(graph)
    linear: list[Linearised] = []
    results: list[Result] = []
    for of, wrt in pairs:
        name = unlike(f"d{of}_d{wrt}", taken)
        found = jacobian_of(graph, of, wrt, name)
        shape = (*graph.tensors[of].shape, *graph.tensors[wrt].shape)
        linear.append(found)
        results.append(replace(_result(found, of, of, wrt, shape), name=name))
    lines = _united(linear)
    return Differential("jacobian", graph, None, lines, tuple(results), {}, tuple(linear))


def hvp(
    graph: Graph, varied: Sequence[str], written: Written, *, staged: bool = False
) -> Differential:
    """How the gradient of every varied tensor changes along directions of all of them."""
    graph = cut(graph, varied)
    first, gradient = _gradient(graph, varied, written)
    linear = along(gradient.graph, varied, staged=staged)
    suffix = next(iter(linear.derivation.upstream.values()))[0].removeprefix(varied[0])
    called: dict[str, Tree] = {}
    results: list[Result] = []
    taken = _names(graph) | {line.name for line in linear.derivation.lines}
    for name in varied:
        shape = graph.tensors[name].shape
        if name in first.zero:
            results.append(Result(f"d{name}{suffix}", name, "", shape, True))
            continue
        made = _result(linear, gradient.of[name], name, "", shape)
        if made.name != f"d{name}{suffix}" and not made.zero:
            called[made.name] = Name(unlike(f"d{name}{suffix}", taken))
            made = replace(made, name=f"d{name}{suffix}")
        results.append(replace(made, name=f"d{name}{suffix}"))
    lines = tuple(_called(line, called) for line in linear.derivation.lines)
    linear = replace(linear, derivation=replace(linear.derivation, lines=lines))
    every = with_definitions(lines, gradient)
    return Differential("hvp", graph, first, every, tuple(results), _directions(linear), (linear,))


def hessian(graph: Graph, of: str, wrt: str, written: Written) -> Differential:
    """The derivative of the gradient of one variable by another one, or by itself."""
    graph = cut(graph, tuple(dict.fromkeys((of, wrt))))
    first, gradient = _gradient(graph, (of,), written)
    output = graph.outputs[0]
    head = f"d2{output}" if len(graph.outputs) == 1 else "d2"
    below = f"d{of}2" if of == wrt else f"d{of}_d{wrt}"
    name = unlike(f"{head}_{below}", _names(graph) | {line.name for line in gradient.lines})
    shape = (*graph.tensors[of].shape, *graph.tensors[wrt].shape)
    if of in first.zero:
        result = Result(name, of, wrt, shape, True, of == wrt)
        return Differential("hessian", graph, first, (), (result,), {}, ())
    linear = jacobian_of(gradient.graph, gradient.of[of], wrt, name)
    result = replace(_result(linear, gradient.of[of], of, wrt, shape), name=name)
    lines = with_definitions(linear.derivation.lines, gradient)
    return Differential("hessian", graph, first, lines, (result,), {}, (linear,))


def _gradient(graph: Graph, wanted: Sequence[str], written: Written) -> tuple[Derivation, Gradient]:
    first = derive(graph, tuple(wanted))
    return first, gradient_graph(first, [written(p.name, p.tree) for p in first.lines])


def _result(linear: Linearised, value: str, of: str, wrt: str, shape: tuple[Dim, ...]) -> Result:
    line = linear.results.get(value)
    symmetric = linear.symmetric and bool(wrt)
    return Result("" if line is None else line.name, of, wrt, shape, line is None, symmetric)


def _directions(linear: Linearised) -> dict[str, tuple[str, tuple[Dim, ...]]]:
    return dict(linear.derivation.upstream)


def _called(line: Line, called: dict[str, Tree]) -> Line:
    new = called.get(line.name)
    name = new.id if isinstance(new, Name) else line.name
    return replace(line, name=name, tree=replace_names(line.tree, called))


def _united(parts: Sequence[Linearised]) -> tuple[Line, ...]:
    """The lines of several derivatives; what two of them define alike is written once."""
    lines: list[Line] = []
    for part in parts:
        called: dict[str, Tree] = {}
        for line in part.derivation.lines:
            own = replace(line, tree=replace_names(line.tree, called))
            same = next((o for o in lines if o.tree == own.tree and o.role == "inner"), None)
            if same is not None and own.role == "inner":
                called[line.name] = Name(same.name)
                continue
            name = unlike(own.name, {o.name for o in lines})
            if name != own.name:
                called[line.name] = Name(name)
            lines.append(replace(own, name=name))
    return tuple(lines)


def _names(graph: Graph) -> set[str]:
    return {*graph.tensors, *graph.constants, *graph.dimensions}


def cut(graph: Graph, varied: Sequence[str]) -> Graph:
    """The graph with values that are varied as inputs, whatever they were computed from.

    Raises:
        UnsupportedError: one of them is computed from another.
    """
    inner = [name for name in graph.definitions if name in varied]
    for name in inner:
        above = _ancestors(graph, name) & set(varied)
        if above:
            other = min(above)
            raise UnsupportedError(
                f"varying {name} and {other} together: {name} is computed from {other}",
                "ask for one of them",
            )
    if not inner:
        return graph
    statements = tuple(s for s in graph.statements if s.out.name not in inner)
    inputs = (*graph.inputs, *(graph.tensors[name] for name in inner))
    return replace(graph, inputs=inputs, statements=statements, wanted=(*graph.wanted, *inner))


def _ancestors(graph: Graph, name: str) -> set[str]:
    found: set[str] = set()
    frontier = {name}
    while frontier:
        frontier = {
            n for f in frontier if f in graph.definitions for n in operands(graph.definitions[f])
        } - found
        found |= frontier
    return found
