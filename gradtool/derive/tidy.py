"""Last touches on array expressions that do not change what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradtool.derive.chains import Signed, collected
from gradtool.derive.line import Line
from gradtool.ir.dims import Dim
from gradtool.ir.graph import Graph
from gradtool.ir.tree import Call, Items, Name, Number, Tree, call, rebuild
from gradtool.ops.shape import dim_tree
from gradtool.records import replace


def tidied(lines: Sequence[Line], graph: Graph) -> list[Line]:
    """Common matrices pulled out of sums of products, a minus before the first factor."""
    shapes = {t.name: t.shape for t in graph.tensors.values()}
    shapes |= {line.name: line.shape for line in lines}
    vectors = {name for name, shape in shapes.items() if len(shape) == 1}
    result = []
    for line in lines:
        tree = _collected(line.tree, len(line.shape), vectors)
        result.append(replace(line, tree=_reshaped_once(_with_sign_first(tree), shapes)))
    return result


def _reshaped_once(tree: Tree, shapes: Mapping[str, tuple[Dim, ...]]) -> Tree:
    """A reshape of a reshape is one; a reshape to the shape that a value has is none."""
    new = rebuild(tree, lambda child: _reshaped_once(child, shapes))
    match new:
        case Call(op="reshape", args=(Call(op="reshape", args=(inner, _)), shape)):
            return _reshaped_once(call("reshape", inner, shape), shapes)
        case Call(op="reshape", args=(Name(id=name), Items(items=(Number(value=count), last)))):
            own = shapes.get(name, ())
            if count == -1 and len(own) == 2 and dim_tree(own[1]) == last:
                return new.args[0]
    return new


def _with_sign_first(tree: Tree) -> Tree:
    """``-B.T @ dB @ B.T`` rather than ``-(B.T @ dB @ B.T)``."""
    if isinstance(tree, Call) and tree.op == "neg":
        inner = _with_sign_first(tree.args[0])
        product = isinstance(inner, Call) and inner.op == "matmul"
        return _negated(inner) if product else call("neg", inner)
    return rebuild(tree, _with_sign_first)


def _negated(tree: Tree) -> Tree:
    if isinstance(tree, Call) and tree.op == "matmul":
        left, right = tree.args
        return call("matmul", _negated(left), right)
    return call("neg", tree)


def _collected(tree: Tree, rank: int, vectors: set[str]) -> Tree:
    match tree:
        case Call(op="neg", args=(inner,)):
            return call("neg", _collected(inner, rank, vectors))
        case Call(op="div", args=(inner, Number() as number)):
            return call("div", _collected(inner, rank, vectors), number)
        case Call(op="mul", args=(Number() as number, inner)):
            return call("mul", number, _collected(inner, rank, vectors))
        case Call(op="add" | "sub"):
            terms = collected(_terms(tree), rank, vectors)
            if len(terms) == len(_terms(tree)):
                return tree
            (result, negative), *rest = terms
            if negative:
                result = call("neg", result)
            for term, minus in rest:
                result = call("sub" if minus else "add", result, term)
            return result
    return tree


def _terms(tree: Tree, negative: bool = False) -> list[Signed]:
    if isinstance(tree, Call) and tree.op in ("add", "sub"):
        left, right = tree.args
        return [*_terms(left, negative), *_terms(right, negative != (tree.op == "sub"))]
    return [(tree, negative)]
