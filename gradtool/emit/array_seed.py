"""The upstream gradient of a loss, folded into the lines that need it.

A loss is differentiated with an upstream gradient of one.  Every cotangent is linear in it, so
that multiplying each result at the end would be right, but would walk through every gradient once
more.  Here the lines that no other cotangent enters are multiplied instead, where the factor
meets other numbers: ``P * (dL / N)``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal as Choice
from typing import TypeAlias

from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.numpy_steps import Step, written
from gradtool.ir.tree import Call, Items, Name, Number, Tree, call, integer, names
from gradtool.records import replace

# "free": no cotangent occurs; "linear": every part is linear in one.
_Degree: TypeAlias = Choice["free", "linear", "other"]

_FIRST = ("sum", "mean", "cumsum", "transpose", "reshape", "ravel", "getitem", "flip", "rot180",
          "diag", "squeeze", "expand_dims", "broadcast_to", "tril", "triu", "trace", "neg", "pos",
          "_window", "_spread", "copy")  # fmt: skip
_BILINEAR = ("mul", "matmul", "einsum", "outer", "contract", "vecdot")
_EMPTY = ("zeros", "zeros_like")


def seeded(
    module: ModuleNames, steps: Sequence[Step], cotangents: Collection[str], seed: str
) -> list[Step] | None:
    """The steps with the seed folded in; None when one of them is not plainly linear.

    Args:
        cotangents: the names of steps that are gradients of the loss.
    """
    carriers: set[str] = set()
    result: list[Step] = []
    for step in steps:
        if not step.writes:
            # What cannot be looked into (a loop) must not be a gradient: it would miss the seed.
            if step.reads & carriers or step.defines in cotangents:
                return None
            result.append(step)
            continue
        writes = []
        linear = False
        carriers |= {part for part, whole in module.parts.items() if whole in carriers}
        for write in step.writes:
            tree = _scaled(write.value, carriers, seed, step.defines in cotangents)
            if tree is None:
                return None
            linear = linear or bool(names(tree) & (carriers | {seed}))
            writes.append(replace(write, value=tree))
        if linear:
            carriers.add(step.defines)
        same = all(a.value is b.value for a, b in zip(writes, step.writes, strict=True))
        result.append(step if same else written(module, step.defines, writes))
    return result


def _scaled(tree: Tree, carriers: set[str], seed: str, cotangent: bool) -> Tree | None:
    """The right side of a line with the seed where no cotangent brings it."""
    match _degree(tree, carriers):
        case "linear":
            return tree
        case "free":
            empty = isinstance(tree, Call) and tree.op in _EMPTY
            if not cotangent or empty or _zero(tree):
                return tree
            return _times(tree, seed)
        case _:
            if isinstance(tree, Call) and tree.op in ("add", "sub"):
                parts = [_scaled(a, carriers, seed, cotangent) for a in tree.args]
                if all(part is not None for part in parts):
                    return Call(tree.op, tuple(p for p in parts if p is not None))
            if isinstance(tree, Call) and tree.op in ("mul", "div"):
                left, right = tree.args
                inside = left if names(left) & carriers else right
                if names(left) & carriers and names(right) & carriers:
                    return None
                part = _scaled(inside, carriers, seed, cotangent)
                if part is None or (tree.op == "div" and inside is right):
                    return None
                return call(tree.op, *((part, right) if inside is left else (left, part)))
            return None


def _times(tree: Tree, seed: str) -> Tree:
    """``seed * tree``, with the seed in the numerator of a leading fraction."""
    if tree == integer(1):
        return Name(seed)
    if isinstance(tree, Call) and tree.op == "div" and tree.args[0] == integer(1):
        return Call("div", (Name(seed), tree.args[1]))
    return call("mul", Name(seed), tree)


def _degree(tree: Tree, carriers: set[str]) -> _Degree:
    if not names(tree) & carriers:
        return "free"
    match tree:
        case Name():
            return "linear"
        case Items(items=items):
            return _all(items, carriers)
        case Call(op="add" | "sub", args=args):
            return _all(args, carriers)
        case Call(op="concatenate" | "stack", args=(parts, *_)):
            return _degree(parts, carriers)
        case Call(op="where", args=(condition, *branches)):
            if names(condition) & carriers:
                return "other"
            return _all([b for b in branches if not _zero(b)], carriers)
        case Call(op="div", args=(above, below)):
            return "other" if names(below) & carriers else _degree(above, carriers)
        case Call(op=op, args=args) if op in _BILINEAR:
            having = [a for a in args if names(a) & carriers]
            return _degree(having[0], carriers) if len(having) == 1 else "other"
        case Call(op=op, args=(first, *rest)) if op in _FIRST:
            if any(names(r) & carriers for r in rest):
                return "other"
            return _degree(first, carriers)
        case Call(op="scatter_add", args=(labels, rows, *_)):
            return "other" if names(labels) & carriers else _degree(rows, carriers)
        case Call(op="_scatter" | "_add_at", args=(shape, index, value)):
            if names(shape) & carriers or names(index) & carriers:
                return "other"
            return _degree(value, carriers)
    return "other"


def _all(trees: Sequence[Tree], carriers: set[str]) -> _Degree:
    degrees = {_degree(t, carriers) for t in trees}
    return "linear" if degrees == {"linear"} else "other"


def _zero(tree: Tree) -> bool:
    return isinstance(tree, Number) and tree.value == 0
