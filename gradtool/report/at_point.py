"""`derive --at`: the value and the gradient of every node of the forward pass at one point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gradtool.derive.derivation import is_loss
from gradtool.derive.reveal import written
from gradtool.derive.reverse import reverse
from gradtool.emit.text import text
from gradtool.ir.dims import shape_text
from gradtool.ir.graph import Graph, operands
from gradtool.numeric.arithmetic import Double
from gradtool.numeric.branches import Branches
from gradtool.numeric.departures import departures, places
from gradtool.numeric.grid import run
from gradtool.numeric.sample import setting_for
from gradtool.records import Struct, replace
from gradtool.report.arguments import Value
from gradtool.report.point_values import Array, arrays
from gradtool.spec.model import LayerSpec


class Node(Struct, frozen=True):
    """One node of the forward graph.

    Attributes:
        name: "" for an inner value that the spec does not name.
        expression: how it is computed; "" for an input.
        gradient: of the loss, in the shape of the value; None for labels, constants and what is
            computed from these alone.
    """

    name: str
    expression: str
    value: Array
    gradient: Array | None


class Point(Struct, frozen=True):
    """A layer at a point.

    Attributes:
        sizes: the sizes that the values imply.
        upstream: outputs whose upstream gradient was taken as ones; empty for a loss.
        kinks: which values are at a kink or a tie here, in words; "" for none.
    """

    layer: str
    nodes: tuple[Node, ...]
    sizes: Mapping[str, int]
    upstream: tuple[str, ...]
    kinks: str = ""

    def node(self, name: str) -> Node:
        return next(n for n in self.nodes if n.name == name)


def at_point(spec: LayerSpec, graph: Graph, values: Mapping[str, Value]) -> Point:
    """Evaluate a layer and its gradients in double precision.

    Raises:
        UsageError: the values do not fit the spec.
    """
    given, sizes = arrays(spec, graph, values)
    found = reverse(graph)
    setting = setting_for(graph, sizes, Double())
    with np.errstate(all="ignore"):  # what is not finite is shown, and said
        branches = Branches()
        watched = replace(setting, branches=branches)
        known = run(found.graph.statements, given, watched)
        loss = is_loss(graph)
        seeds = {
            t.name: np.ones_like(np.asarray(known[o], dtype=float))
            for o, t in found.upstream.items()
        }
        backward = run(found.statements, {**known, **seeds}, setting)
    differentiable = set(graph.wanted)
    nodes: list[Node] = []
    for tensor in graph.inputs:
        nodes.append(
            Node(
                tensor.name,
                "",
                np.asarray(known[tensor.name]),
                _gradient(found.of, backward, tensor.name, known, differentiable),
            )
        )
    for statement in graph.statements:
        if statement.out.kind != "real":
            continue
        name = statement.out.name
        if operands(statement) & differentiable:
            differentiable.add(name)
        nodes.append(
            Node(
                "" if statement.hidden else name,
                text(written(graph, name)),
                np.asarray(known[name]),
                _gradient(found.of, backward, name, known, differentiable),
            )
        )
    kinks = places(departures(graph, branches.edges, graph.wanted, False))
    return Point(spec.name, tuple(nodes), sizes, () if loss else graph.outputs, kinks)


def _gradient(
    of: Mapping[str, Any],
    backward: Mapping[str, Any],
    name: str,
    known: Mapping[str, Any],
    differentiable: set[str],
) -> Array | None:
    if name not in differentiable:
        return None
    if name not in of:
        return np.zeros_like(np.asarray(known[name], dtype=float))
    return np.asarray(backward[of[name].name], dtype=float)


# -- as text ------------------------------------------------------------------------------

_SHORT = 34


def at_point_lines(
    spec: LayerSpec, graph: Graph, values: Mapping[str, Value], width: int = 100
) -> list[str]:
    """The point as plain text: a table, or a block for each node when arrays are large."""
    point = at_point(spec, graph, values)
    sizes = ", ".join(f"{name} = {size}" for name, size in point.sizes.items())
    lines = [point.layer + (f"   {sizes}" if sizes else ""), ""]
    small = all(
        len(_inline(a)) <= _SHORT
        for n in point.nodes
        for a in (n.value, n.gradient)
        if a is not None
    )
    lines += list(_table(point, width) if small else _blocks(point))
    lines += ["", _meaning(point, graph)]
    if point.kinks:
        lines.append(
            f"at a kink or a tie, where {point.kinks}: gradients go by the convention of each "
            "operation there (abs'(0) = 0)"
        )
    if any(
        _residue(n.value) or (n.gradient is not None and _residue(n.gradient)) for n in point.nodes
    ):
        lines.append(
            "a number below 1e-14 of the largest in its array may be a 0 with a rounding error"
        )
    bad = [n.name or n.expression for n in point.nodes if not _finite(n)]
    if bad:
        lines.append(f"not finite here: {', '.join(bad)}")
    return lines


def _meaning(point: Point, graph: Graph) -> str:
    if not point.upstream:
        return f"gradient: how much {graph.outputs[0]} changes per change of the node"
    outputs = ", ".join(point.upstream)
    return f"gradient: of the sum of all entries of {outputs} (the upstream gradient is ones)"


def _table(point: Point, width: int) -> Iterator[str]:
    rows = [("node", "expression", "value", "gradient")]
    rows += [
        (n.name, n.expression, _inline(n.value), "" if n.gradient is None else _inline(n.gradient))
        for n in point.nodes
    ]
    columns = [max(len(row[k]) for row in rows) for k in range(4)]
    numeric = all(n.value.ndim == 0 for n in point.nodes)
    if sum(columns) + 8 > width:
        yield from _blocks(point)
        return
    for row in rows:
        cells = [
            f"{cell:>{size}}" if k > 1 and numeric else f"{cell:<{size}}"
            for k, (cell, size) in enumerate(zip(row, columns, strict=True))
        ]
        yield ("  " + "  ".join(cells)).rstrip()


def _blocks(point: Point) -> Iterator[str]:
    for number, node in enumerate(point.nodes):
        if number:
            yield ""
        head = " = ".join(part for part in (node.name, node.expression) if part)
        yield f"  {head}   {shape_text(node.value.shape)}"
        yield from _array("value", node.value)
        if node.gradient is not None:
            yield from _array("gradient", node.gradient)


def _array(label: str, array: Array) -> Iterator[str]:
    shown = np.array2string(
        array,
        separator=", ",
        threshold=200,
        max_line_width=84,
        formatter={"all": _number},
    ).split("\n")
    lead = f"    {label:<9} "
    for number, part in enumerate(shown):
        yield (lead if number == 0 else " " * len(lead)) + part


def _inline(array: Array) -> str:
    if array.ndim == 0:
        return _number(array[()])
    if array.size > 16:
        return " " * 99  # never short: goes into a block
    return f"[{', '.join(_inline(np.asarray(a)) for a in array)}]"


def _number(value: Any) -> str:
    if isinstance(value, bool | np.bool_ | int | np.integer):
        return str(int(value))
    return f"{float(value) + 0.0:.6g}"  # -0 is 0


def _residue(array: Array) -> bool:
    """Whether an entry is so small beside the others that it may be rounding."""
    sizes = np.abs(array[np.isfinite(array)]) if array.dtype.kind == "f" else np.zeros(0)
    return bool(((sizes > 0) & (sizes < 1e-14 * sizes.max(initial=0))).any())


def _finite(node: Node) -> bool:
    return bool(np.isfinite(node.value).all()) and (
        node.gradient is None or bool(np.isfinite(node.gradient).all())
    )
