"""Values of the forward pass that several places of the backward pass write again get a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gradtool.derive.line import Line
from gradtool.derive.naming import telling_name
from gradtool.ir.dims import Dim
from gradtool.ir.graph import Graph
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Call, Items, Name, Slice, Tree, children, names, rebuild, size_of
from gradtool.ops.build import Builder, of_tensor
from gradtool.ops.errors import OpError
from gradtool.ops.registry import vocabulary

_LEAST_SIZE, _LEAST_SAVING = 5, 6


def shared_values(lines: list[Line], graph: Graph) -> list[Line]:
    """Name repeated subexpressions made of forward values only."""
    result = list(lines)
    while True:
        known = {t for t in graph.tensors if not t.startswith("_")}
        known |= {line.name for line in result if line.role == "inner"}
        numbers = set(graph.dimensions) | set(graph.constants) | {"pi"}
        known |= numbers
        counts: Counter[Tree] = Counter()
        for line in result:
            if isinstance(line.tree, Call) and line.tree.op == "indexed":
                continue
            # A size must be written out where it is a size: reshape(X, (N, 2*H)).
            found = _candidates(line.tree, known)
            counts.update(tree for tree in found if not names(tree) <= numbers)
        worth = [
            (count * size_of(tree), size_of(tree), tree)
            for tree, count in counts.items()
            if count > 1 and (count - 1) * (size_of(tree) - 1) >= _LEAST_SAVING
        ]
        if not worth:
            return result
        tree = max(worth, key=lambda w: (w[0], w[1], repr(w[2])))[2]
        shape = _shape(tree, graph, result)
        if shape is None:
            return result
        taken = known | {line.name for line in result}
        name = telling_name(tree, taken)
        place = _first_use(result, tree)
        replaced = [
            Line(x.name, x.of, x.role, x.shape, _replaced(x.tree, tree, Name(name))) for x in result
        ]
        replaced.insert(place, Line(name, "", "inner", shape, tree))
        result = replaced


def _candidates(tree: Tree, known: set[str]) -> Iterator[Tree]:
    if isinstance(tree, Call):
        if (
            size_of(tree) >= _LEAST_SIZE
            and tree.op not in ("neg", "getitem")
            and names(tree) <= known
        ):
            yield tree
        for child in children(tree):
            yield from _candidates(child, known)
    elif isinstance(tree, Items | Slice):
        return


def _replaced(tree: Tree, old: Tree, new: Tree) -> Tree:
    if tree == old:
        return new
    return rebuild(tree, lambda child: _replaced(child, old, new))


def _first_use(lines: list[Line], tree: Tree) -> int:
    """Before the first line that uses it, after the inner values that it needs."""
    needs = names(tree)
    after = 0
    for place, line in enumerate(lines):
        if line.role == "inner" and line.name in needs:
            after = place + 1
    for place, line in enumerate(lines):
        if _replaced(line.tree, tree, Name("")) != line.tree:
            return max(after, place)
    return after


def _shape(tree: Tree, graph: Graph, lines: list[Line]) -> tuple[Dim, ...] | None:
    build = Builder(vocabulary(), dict(graph.constants), frozenset(graph.dimensions))
    for tensor in graph.tensors.values():
        if not tensor.name.startswith("_"):
            build.scope[tensor.name] = of_tensor(tensor)
    for line in lines:
        if line.role == "inner":
            build.scope[line.name] = of_tensor(Tensor(line.name, line.shape))
    try:
        return build.operand(tree).shape
    except OpError:
        return None
