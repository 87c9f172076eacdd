"""Forward mode: how every value of a graph changes when its inputs do, statement by statement.

The tangent of a statement is the sum, over the accesses in its body, of the derivative with
respect to the access times the tangent of the access: the same `partial` as in reverse mode, no
rule for any layer.  A matrix function has one published rule, for its cotangent; its tangent is
the transpose of that linear map, read off the rule itself.

The same sweep gives directional derivatives and Jacobians.  In the first case the tangent of an
input is a given array (``Xdot``); in the second it is a product of Kronecker deltas, and every
tangent has the axes of that input behind its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from gradtool.derive.calculus import partial
from gradtool.derive.carried_along import carried_along
from gradtool.derive.companions import with_companions
from gradtool.derive.cotangents import Turned
from gradtool.derive.entries import places, same_entry
from gradtool.derive.reverse import Cotangents, reached, selector, with_selectors
from gradtool.derive.seeds import Seeds
from gradtool.derive.turn import is_tape, with_tapes
from gradtool.ir.dims import Dim
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import (
    AnyStatement,
    Graph,
    Loop,
    MatrixFunction,
    Reshape,
    Scan,
    Statement,
    tensors_in,
)
from gradtool.ir.index import Affine, Index, Tensor
from gradtool.ir.poly import (
    NOTHING,
    Access,
    Atom,
    Iverson,
    Poly,
    Term,
    access,
    atom,
    poly_of,
    product,
)
from gradtool.ir.tree import Call, Items, Name, Tree
from gradtool.ir.walk import accesses, replace_atoms
from gradtool.ops.matrix import RULES
from gradtool.ops.shape import dim_tree


def tangents(graph: Graph, seeds: Seeds) -> Cotangents:
    """The tangent of every value that the seeds reach and the outputs need.

    The result has the form of a backward pass: `of` maps a value to its tangent, `statements` are
    in an order that can be run (here: the order of the forward pass), `upstream` are the given
    directions.

    Raises:
        UnsupportedError: a statement without a rule for its tangent.
    """
    graph = with_companions(with_selectors(graph, seeds.names))
    graph = with_tapes(graph, reached(graph, seeds.names))
    needed = reached(graph, seeds.names)
    found: dict[str, Tensor] = dict(seeds.given)
    statements: list[AnyStatement] = []
    turned: dict[Loop, Turned] = {}
    arrived: dict[str, Tensor] = {}
    loops: set[Loop] = set()
    for statement in graph.statements:
        name = statement.out.name
        if name not in needed or name in seeds.names or statement.out.kind != "real":
            continue
        if isinstance(statement, Scan):
            if statement.loop not in loops:
                loops.add(statement.loop)
                along = _loop(statement.loop, graph, needed, found, seeds)
                if along is not None:
                    turned[along.loop] = along
                    statements += along.statements
                    arrived |= {onto.name: made for onto, made in along.arrivals}
            tangent, beside = _of_result(statement, found, arrived, seeds)
            if tangent is not None:
                statements += beside
                found[name] = tangent
            continue
        out = Tensor(seeds.label(name), (*statement.out.shape, *_sizes(seeds)))
        made = _tangent(statement, out, found, seeds, graph)
        if made:
            statements += made
            found[name] = out
    if seeds.unit is not None and seeds.unit.name in graph.outputs:
        raise UnsupportedError(f"the derivative of {seeds.unit.name} by itself")
    return Cotangents(graph, dict(seeds.given), tuple(statements), found, turned)


def _loop(
    loop: Loop, graph: Graph, needed: Collection[str], found: Mapping[str, Tensor], seeds: Seeds
) -> Turned | None:
    """The loop of the tangents of those results of a loop that are needed.

    Raises:
        UnsupportedError: every entry of an array is varied by itself.
    """
    if seeds.unit is not None:
        raise UnsupportedError(
            "a loop over an axis in Jacobians and second derivatives",
            "its gradient and --jvp are supported",
        )
    results = [
        s for s in graph.statements
        if isinstance(s, Scan) and s.loop is loop and s.out.name in needed and not is_tape(s)
    ]  # fmt: skip

    def step(body: Graph, given: Mapping[str, Tensor]) -> Cotangents:
        return tangents(body, Seeds(given, None, seeds.suffix))

    return carried_along(graph, results, found, seeds.label, step) if results else None


def _of_result(
    scan: Scan, found: Mapping[str, Tensor], arrived: Mapping[str, Tensor], seeds: Seeds
) -> tuple[Tensor | None, list[AnyStatement]]:
    """The tangent of a result of a loop, and the statement that it takes beside the loop.

    A sum over the steps may begin with a value that is varied itself.
    """
    name = scan.out.name
    start = None if scan.initial is None else found.get(scan.initial.name)
    if scan.what != "sum" or start is None:
        return arrived.get(name), []
    out = Tensor(seeds.label(name), scan.out.shape)
    free = places(out.shape)
    body = access(start, free)
    if name in arrived:
        body = body + access(arrived[name], free)
    return out, [Statement(out, free, body, Name(out.name), hidden=scan.hidden)]


def _sizes(seeds: Seeds) -> tuple[Dim, ...]:
    return tuple(axis.size for axis in seeds.axes)


def _tangent(
    statement: AnyStatement,
    out: Tensor,
    found: Mapping[str, Tensor],
    seeds: Seeds,
    graph: Graph,
) -> list[AnyStatement]:
    """The statements that define the tangent of one value; none when it is zero."""
    hidden = statement.hidden
    match statement:
        case Statement(free=free):
            joined = _joined(statement, out, found, seeds)
            if joined is not None:
                return [joined]
            body = _pushed(statement, found, seeds, graph)
        case Reshape(operand=operand):
            if operand.name not in found and operand.name not in seeds.names:
                return []
            free = places(statement.out.shape)
            if not seeds.axes:
                # The entries stay in their order: the tangent is reshaped like the value.
                whole = Tensor(f"{found[operand.name].name}:{statement.out.name}", out.shape)
                shape = Items(tuple(dim_tree(size) for size in out.shape))
                tree = Call("reshape", (Name(found[operand.name].name), shape))
                copy = Statement(out, free, access(whole, free), Name(out.name), hidden=hidden)
                return [Reshape(whole, found[operand.name], tree, hidden=True), copy]
            inner = places(operand.shape, "o")
            entry = _tangent_at(operand.name, tuple(map(Affine.of, inner)), found, seeds)
            body = (entry * same_entry(free, inner)).over(inner)
        case MatrixFunction(function=function):
            if function not in RULES:
                return []  # a helper: the rule of the function that it helps says all
            free = places(statement.out.shape)
            body = _transposed_rule(statement, free, found, seeds)
        case Scan():
            raise AssertionError("the tangents of loops are taken as a whole")
    if not body.terms:
        return []
    return [Statement(out, (*free, *seeds.axes), body, Name(out.name), hidden=hidden)]


def _tangent_at(
    name: str, index: Sequence[Affine], found: Mapping[str, Tensor], seeds: Seeds
) -> Poly:
    if name in seeds.names:
        return seeds.at(name, index)
    if name not in found:
        return NOTHING
    return access(found[name], (*index, *seeds.axes))


def _pushed(statement: Statement, found: Mapping[str, Tensor], seeds: Seeds, graph: Graph) -> Poly:
    """The sum over the accesses of a body: derivative times tangent."""
    chosen = selector(statement, graph)
    total = NOTHING
    for term in statement.body.terms:
        apart = term.freshened()
        (opened,) = poly_of((Term(apart.coefficient, apart.factors),)).terms
        distinct = {a for a in accesses(Poly((opened,))) if a.tensor.kind == "real"}
        for target in sorted(distinct, key=lambda a: a.key):
            tangent = _tangent_at(target.tensor.name, target.index, found, seeds)
            if not tangent.terms:
                continue
            derivative = partial(opened, target)
            if derivative.terms:
                body = derivative * chosen * tangent
                total = total + body.over((*apart.bound, *statement.bound))
    return total


def _joined(
    statement: Statement, out: Tensor, found: Mapping[str, Tensor], seeds: Seeds
) -> Statement | None:
    """The tangent of a concatenation of values is the concatenation of their tangents."""
    tree = statement.tree
    if seeds.axes or not isinstance(tree, Call) or tree.op != "concatenate":
        return None
    parts = tree.args[0].items if isinstance(tree.args[0], Items) else ()
    trees: list[Tree] = []
    values: dict[str, Tensor] = {}
    for part in parts:
        if not isinstance(part, Name) or part.id not in found or part.id in values:
            return None
        values[part.id] = found[part.id]
        trees.append(Name(found[part.id].name))

    def change(base: Atom) -> Poly | None:
        if isinstance(base, Access) and base.tensor.name in values:
            return access(values[base.tensor.name], base.index)
        return None

    if frozenset(values) != tensors_in(statement.body):
        return None
    body = replace_atoms(statement.body, change)
    tree = Call("concatenate", (Items(tuple(trees)),), tree.kwargs)
    return Statement(out, statement.free, body, tree, hidden=statement.hidden)


def _transposed_rule(
    statement: MatrixFunction,
    free: tuple[Index, ...],
    found: Mapping[str, Tensor],
    seeds: Seeds,
) -> Poly:
    """The tangent of a matrix function, from the rule of its cotangent.

    A rule is linear: ``dA[p] = sum of C * dY[e]``.  The tangent is the transpose of that map:
    ``Ydot[f] = sum over p of C * [f == e] * Adot[p]``.
    """
    rule = RULES[statement.function]
    given = Tensor("~", statement.out.shape)
    total = NOTHING
    for position, source in enumerate(statement.operands):
        place = places(source.shape, f"p{position}")
        tangent = _tangent_at(source.name, tuple(map(Affine.of, place)), found, seeds)
        if not tangent.terms:
            continue
        for term in rule.pull(statement, given, position, place).terms:
            apart = term.freshened()
            (seed,) = [b for b, _ in apart.factors if isinstance(b, Access) and b.tensor == given]
            rest = tuple((b, e) for b, e in apart.factors if b is not seed)
            map_ = poly_of((product(apart.coefficient, rest),))
            for index, entry in zip(free, seed.index, strict=True):
                map_ = map_ * atom(Iverson("eq", Affine.of(index) - entry))
            total = total + (map_ * tangent).over((*place, *apart.bound))
    return total
