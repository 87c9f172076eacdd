"""Sums of shares as a person writes them: with minus signs, without needless broadcasts."""

from __future__ import annotations

from gradtool.ir.tree import Call, Number, Tree, call
from gradtool.records import replace


def added(shares: list[Tree]) -> Tree:
    """The sum, written with minus signs; a share that is only repeated needs no broadcast."""
    whole = [s for s in shares if not _is_broadcast(s)]
    if whole and len(shares) > 1:
        repeated = [s.args[0] for s in shares if isinstance(s, Call) and _is_broadcast(s)]
        shares = [*whole, *repeated]
    first, *rest = shares
    for share in rest:
        positive = _without_minus(share)
        first = call("add", first, share) if positive is None else call("sub", first, positive)
    return first


def _is_broadcast(tree: Tree) -> bool:
    return isinstance(tree, Call) and tree.op == "broadcast_to"


def _without_minus(tree: Tree) -> Tree | None:
    """``-x`` and ``-x / y`` without their sign."""
    match tree:
        case Call(op="neg", args=(inner,)):
            return inner
        case Call(op="mul", args=(Number(value=value), right)) if value == -1:
            return right
        case Call(op="mul" | "div" | "matmul", args=(left, right)):
            inner_left = _without_minus(left)
            return None if inner_left is None else replace(tree, args=(inner_left, right))
        case Number(value=value) if value < 0:
            return Number(-value, str(-value))
    return None


def bare(tree: Tree) -> Tree:
    """A slope without what only gives it the whole shape or the type of a number."""
    match tree:
        case Call(op="broadcast_to", args=(inner, *_)):
            return bare(inner)
        case Call(op="mul", args=(Number(value=1), inner)):
            return inner
        case Call(op="mul", args=(Number(value=value), inner)) if value == -1:
            return call("neg", inner)
    return tree
