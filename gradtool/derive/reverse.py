"""Reverse mode: one sweep from the outputs to the inputs, one cotangent for every tensor.

The cotangent of an access is the derivative of the scalar body with respect to that access, times
the cotangent of the output, summed over every index that the access does not carry.  That one
sentence is all there is: `softmax`, `conv2d` and `layer_norm` need no rule of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from gradtool.derive.blocks import Arrival, is_joined, joined_blocks, slab_of
from gradtool.derive.calculus import partial
from gradtool.derive.companions import with_companions
from gradtool.derive.cotangents import Cotangents, Turned
from gradtool.derive.guards import Guarded, Guards, guarded
from gradtool.derive.indexform import declared, index_names, scalar_tree
from gradtool.derive.turn import settled, turn, with_tapes
from gradtool.ir.dims import ONE, ZERO
from gradtool.ir.errors import at_line
from gradtool.ir.graph import (
    AnyStatement,
    Graph,
    Loop,
    MatrixFunction,
    Reduction,
    Reshape,
    Scan,
    Statement,
)
from gradtool.ir.index import Affine, Index, Label, Tensor
from gradtool.ir.poly import NOTHING, UNIT, Iverson, Poly, Term, access, atom, poly_of
from gradtool.ir.tree import Call, Items, Name, Number, Tree
from gradtool.ir.walk import accesses
from gradtool.ops.matrix import RULES
from gradtool.ops.registry import vocabulary
from gradtool.ops.shape import dim_tree
from gradtool.records import replace

__all__ = [
    "Cotangents",
    "cotangent_name",
    "is_joined",
    "reached",
    "reverse",
    "selector",
    "with_selectors",
]

Place: TypeAlias = Callable[[Tensor], tuple[Index, ...]]


def cotangent_name(name: str) -> str:
    return f"d{name}"


def reverse(
    graph: Graph,
    wanted: Iterable[str] | None = None,
    seeds: Mapping[str, Sequence[Tensor | Poly]] | None = None,
) -> Cotangents:
    """Derive the cotangents of `wanted` (default: every differentiable input).

    Args:
        seeds: what the cotangents of the outputs begin with, when they are not given as they are:
            tensors of the same shape and numbers, which are added.
    """
    targets = tuple(graph.wanted if wanted is None else wanted)
    graph = with_companions(with_selectors(graph, targets))
    graph = with_tapes(graph, reached(graph, targets))
    needed = reached(graph, targets)
    loss = len(graph.outputs) == 1 and graph.tensors[graph.outputs[0]].shape == ()
    upstream = (
        {name: Tensor(cotangent_name(name), graph.tensors[name].shape) for name in graph.outputs}
        if seeds is None
        else {}
    )
    gathered: dict[str, list[Arrival]] = {}
    axes: dict[str, tuple[Index, ...]] = {}
    whole: dict[str, list[AnyStatement]] = {}

    def place(tensor: Tensor) -> tuple[Index, ...]:
        if tensor.name not in axes:
            axes[tensor.name] = tuple(
                Index(f"{_letter(k)}:{tensor.name}", size) for k, size in enumerate(tensor.shape)
            )
        return axes[tensor.name]

    for name, begins in (seeds or {}).items():
        for begin in begins if name in needed else ():
            here = place(graph.tensors[name])
            seed = access(begin, here) if isinstance(begin, Tensor) else begin
            gathered.setdefault(name, []).append(Arrival(seed, None))
    for name in graph.outputs if seeds is None else ():
        if name in needed:
            seed = UNIT if loss else access(upstream[name], place(graph.tensors[name]))
            gathered.setdefault(name, []).append(Arrival(seed, None))
    guards = Guards.of_graph(graph)
    under: dict[str, Guarded] = {}
    found: dict[str, Tensor] = {}
    ordered: list[AnyStatement] = []

    def close(tensor: Tensor) -> Tensor | None:
        """Add up everything that arrived at a tensor."""
        parts = gathered.get(tensor.name, [])
        for statement in whole.get(tensor.name, []):
            ordered.append(statement)
            parts.append(Arrival(access(statement.out, place(tensor)), None))
        total = NOTHING
        for part in parts:
            total = total + part.body
        if not total.terms:
            return None
        given = [upstream[tensor.name]] if tensor.name in upstream else []
        given += [s for s in (seeds or {}).get(tensor.name, ()) if isinstance(s, Tensor)]
        if len(given) == 1 and total == access(given[0], place(tensor)):
            found[tensor.name] = given[0]
            return given[0]
        label = cotangent_name(tensor.name)
        if tensor.name in upstream:
            label += "_total"  # an output that is also used further on
        cotangent = Tensor(label, tensor.shape)
        hidden = tensor.name.startswith("_")
        blocks = joined_blocks(cotangent, place(tensor), parts)
        if blocks is not None:
            ordered.extend(blocks)
        else:
            ordered.append(Statement(cotangent, place(tensor), total, Name(label), hidden=hidden))
        found[tensor.name] = cotangent
        if guards.any:
            under[cotangent.name] = guarded(total, place(tensor), under)
        return cotangent

    turned: dict[Loop, Turned] = {}
    results: dict[Loop, list[tuple[Scan, Tensor]]] = {}
    begins_loop = {s.loop: s for s in reversed(graph.statements) if isinstance(s, Scan)}
    for statement in reversed(graph.statements):
        cotangent = None
        if statement.out.name in needed and statement.out.kind == "real":
            cotangent = close(statement.out)
        if isinstance(statement, Scan):
            loop = statement.loop
            start = statement.initial
            if cotangent is not None:
                results.setdefault(loop, []).append((statement, cotangent))
                if start is not None and start.name in needed:
                    body = access(cotangent, place(start))
                    gathered.setdefault(start.name, []).append(Arrival(body, None))
            if begins_loop[loop] is statement and loop in results:
                backward = turn(graph, results[loop], needed, ordered, reverse)
                if backward is not None:
                    ordered.extend(backward.statements)
                    turned[backward.statements[0].loop] = backward
                    for onto, result in backward.arrivals:
                        body = access(result, place(onto))
                        gathered.setdefault(onto.name, []).append(Arrival(body, None))
            continue
        if cotangent is None:
            continue
        match statement:
            case Statement():
                with at_line(statement.line):
                    kept = under.get(cotangent.name)
                    for name, arrival in _pull(statement, cotangent, needed, graph, place, kept):
                        gathered.setdefault(name, []).append(arrival)
            case Reshape(operand=operand):
                if operand.name in needed:
                    made = Tensor(f"{cotangent.name}:{operand.name}", operand.shape)
                    shape = Items(tuple(dim_tree(size) for size in operand.shape))
                    tree = Call("reshape", (Name(cotangent.name), shape))
                    whole.setdefault(operand.name, []).append(
                        Reshape(made, cotangent, tree, hidden=True)
                    )
            case MatrixFunction(operands=several):
                rule = RULES[statement.function]
                for position, source in enumerate(several):
                    if source.name in needed:
                        pulled = rule.pull(statement, cotangent, position, place(source))
                        gathered.setdefault(source.name, []).append(Arrival(pulled, None))
    for tensor in graph.inputs:
        if tensor.name in targets:
            close(tensor)
    statements = settled(ordered) if turned else tuple(ordered)
    begun = frozenset(found[name].name for name in seeds or () if name in found)
    return Cotangents(graph, upstream, statements, found, turned, begun)


def _letter(axis: int) -> str:
    return "ijklmnpq"[axis] if axis < 8 else f"i{axis}"


def reached(graph: Graph, targets: Iterable[str]) -> frozenset[str]:
    """Tensors on a path from a target to an output."""
    after = set(targets)
    for statement in graph.statements:
        if statement.out.kind == "real" and _reads(statement) & after:
            after.add(statement.out.name)
    leads = set(graph.outputs)
    for statement in reversed(graph.statements):
        if statement.out.name in leads:
            leads |= _reads(statement)
    return frozenset(after & leads)


def _reads(statement: AnyStatement) -> set[str]:
    match statement:
        case Statement(body=body):
            return {a.tensor.name for a in accesses(body) if a.tensor.kind == "real"}
        case Reshape(operand=operand):
            return {operand.name}
        case MatrixFunction(operands=several):
            return {tensor.name for tensor in several}
        case Scan(loop=loop, initial=initial):
            sources = [*loop.sources.values(), *([initial] if initial is not None else [])]
            return {tensor.name for tensor in sources if tensor.kind == "real"}


def _pull(
    statement: Statement,
    cotangent: Tensor,
    needed: frozenset[str],
    graph: Graph,
    place: Place,
    under: Guarded | None,
) -> Iterable[tuple[str, Arrival]]:
    """What one statement sends to the cotangents of its operands.

    The conditions that its own cotangent stands `under` are said again where a slope needs them:
    zero times an infinite slope is not zero in NumPy.
    """
    incoming = access(cotangent, statement.free)
    guards = Guards.of_graph(graph)
    for term in statement.body.terms:
        apart = term.freshened()
        single = poly_of((Term(apart.coefficient, apart.factors),))
        (opened,) = single.terms
        selected = selector(statement, graph)
        distinct = {a for a in accesses(single) if a.tensor.name in needed}
        for target in sorted(distinct, key=lambda a: a.key):
            derivative = partial(opened, target)
            if not derivative.terms:
                continue
            out = place(target.tensor)
            deltas = UNIT
            for axis, index, entry in zip(target.tensor.shape, out, target.index, strict=True):
                if axis != ONE or entry != Affine.of(0):
                    here = Affine.of(0) if axis == ONE else Affine.of(index)
                    deltas = deltas * atom(Iverson("eq", here - entry))
            body = incoming * derivative * selected * deltas
            if under is not None and guards.unsafe(f for t in derivative.terms for f in t.factors):
                for guard in under.at(statement.free):
                    body = body * atom(guard)
            over = (*statement.free, *apart.bound, *statement.bound)
            slab = slab_of(target, statement)
            yield target.tensor.name, Arrival(body.over(over), slab)


def selector(statement: Statement, graph: Graph) -> Poly:
    """For a max: 1 at the chosen entry of the window, 0 elsewhere."""
    if statement.reduce == "sum":
        return UNIT
    chosen = graph.tensors[_selector_name(statement)]
    flat = Affine((), ZERO)
    for index in statement.bound:
        flat = flat * index.size + index
    kept = _kept_axes(statement)
    entries = tuple(
        Affine.of(0) if i.size == ONE else Affine.of(i)
        for k, i in enumerate(statement.free)
        if k not in kept
    )
    return atom(Iverson("eq", flat - Affine.of(Label(chosen, entries))))


def _selector_name(statement: Statement) -> str:
    return f"_arg{statement.out.name}"


def with_selectors(graph: Graph, targets: Iterable[str]) -> Graph:
    """Add the argmax that a max or min needs for its derivative."""
    needed = reached(graph, targets)
    statements: list[AnyStatement] = []
    for statement in graph.statements:
        if (
            isinstance(statement, Statement)
            and statement.reduce in ("max", "min")
            and statement.out.name in needed
            and _selector_name(statement) not in graph.definitions
        ):
            labels = None
            for index in statement.bound:
                labels = index.size if labels is None else labels * index.size
            reduce: Reduction = "argmax" if statement.reduce == "max" else "argmin"
            kept = _kept_axes(statement)
            free = tuple(i for k, i in enumerate(statement.free) if k not in kept)
            shape = tuple(i.size for i in free)
            statements.append(
                replace(
                    statement,
                    out=Tensor(_selector_name(statement), shape, "index", labels),
                    free=free,
                    reduce=reduce,
                    tree=_arg_tree(statement, reduce, graph.names),
                    hidden=True,
                )
            )
        statements.append(statement)
    return replace(graph, statements=tuple(statements))


def _arg_tree(statement: Statement, reduce: str, taken: Collection[str]) -> Tree:
    """How the position of the best entry is written: like the max, with another word."""
    tree = statement.tree
    if isinstance(tree, Call) and tree.op == "indexed":
        left, right = tree.args
        assert isinstance(right, Call)
        return Call("indexed", (left, Call(reduce, right.args, right.kwargs)))
    assert isinstance(tree, Call)
    if tree.op in ("max", "min"):
        return Call(reduce, tree.args, tuple((k, v) for k, v in tree.kwargs if k != "keepdims"))
    if f"arg{tree.op}" in vocabulary():
        return Call(f"arg{tree.op}", tree.args, tree.kwargs)
    names = index_names((*statement.free, *statement.bound), statement.body, taken)
    every = frozenset((*statement.free, *statement.bound))
    left, over = (
        Items(tuple(declared(i, names, every) for i in group))
        for group in (statement.free, statement.bound)
    )
    inner = scalar_tree(statement.body, names, stated=every)
    return Call("indexed", (left, Call(reduce, (inner,), (("over", over),))))


def _kept_axes(statement: Statement) -> tuple[int, ...]:
    """Axes of size one that a max has only because of keepdims=True."""
    tree = statement.tree
    if not isinstance(tree, Call) or tree.keyword("keepdims") is None:
        return ()
    axis = tree.keyword("axis")
    if axis is None:
        return tuple(range(len(statement.free)))
    items = axis.items if isinstance(axis, Items) else (axis,)
    return tuple(int(i.value) for i in items if isinstance(i, Number))
