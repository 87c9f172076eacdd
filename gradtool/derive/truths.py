"""Truth values in printed formulas, made numbers where NumPy would compute with them as such.

``(i >= a) + (b >= i)`` is "or" in NumPy and ``-(x > 0)`` an error; a product of a condition with a
number is a number, so ``1 * (i >= a) + (b >= i)`` and ``-1 * (x > 0)`` say what is meant.
"""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction

from gradtool.ir.tree import Call, Items, Name, Number, Tree, call, integer, rebuild
from gradtool.ops.truth import deciding

_COMPARING = frozenset(
    ("gt", "ge", "lt", "le", "eq", "ne", "logical_and", "logical_or", "logical_not")
)


def is_condition(tree: Tree, masks: Collection[str] = ()) -> bool:
    """Whether NumPy's value would be of truth values; `masks` are names of such arrays."""
    if isinstance(tree, Name):
        return tree.truth or tree.id in masks
    if not isinstance(tree, Call):
        return False
    if tree.op in _COMPARING:
        return True
    parts = deciding(tree)
    return bool(parts) and all(is_condition(part, masks) for part in parts)


def with_numbers(tree: Tree, masks: Collection[str]) -> Tree:
    """The same formula, in which NumPy adds, negates and contracts numbers."""
    if isinstance(tree, Call) and (_of_entries(tree) or tree.op == "loop"):
        return tree  # entries, one at a time: conditions count as 0 and 1 there
    new = rebuild(tree, lambda child: with_numbers(child, masks))
    if not isinstance(new, Call):
        return new
    match new.op:
        case "neg" if is_condition(new.args[0], masks):
            return call("mul", Number(Fraction(-1), "-1"), new.args[0])
        case "add" | "sub" | "matmul" | "dot" if _all(new.args, masks):
            return Call(new.op, (as_number(new.args[0]), *new.args[1:]), new.kwargs, new.span)
        case "einsum" if len(new.args) > 2 and _all(new.args[1:], masks):
            first, one, *others = new.args
            return Call(new.op, (first, as_number(one), *others), new.kwargs, new.span)
    return new


def _of_entries(tree: Call) -> bool:
    """Index notation: an index on the left or a sum over one; a scalar's line may have none."""
    if tree.op == "indexed":
        left = tree.args[0]
        return isinstance(left, Items) and bool(left.items)
    return tree.keyword("over") is not None


def as_number(tree: Tree) -> Tree:
    """``1 * (x > 0)``."""
    return call("mul", integer(1), tree)


def _all(trees: Collection[Tree], masks: Collection[str]) -> bool:
    return all(is_condition(tree, masks) for tree in trees)
