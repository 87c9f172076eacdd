"""The order of the addends of a sum, where the normal form leaves it open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradtool.ir.tree import Call, Tree, call, rebuild


def reordered(tree: Tree, key: Callable[[Tree], Any]) -> Tree:
    """The same expression with the addends of every sum sorted by a key, what is added first.

    What is subtracted stays behind, and a sum that begins with a minus stays as it is.
    """
    new = rebuild(tree, lambda child: reordered(child, key))
    if not isinstance(new, Call) or new.op not in ("add", "sub"):
        return new
    plus, minus = _addends(new)
    if any(isinstance(t, Call) and t.op == "neg" for t in plus):
        return new
    first, *others = sorted(plus, key=key)
    result: Tree = first
    for other in others:
        result = call("add", result, other)
    for other in minus:
        result = call("sub", result, other)
    return result


def _addends(tree: Tree) -> tuple[list[Tree], list[Tree]]:
    """The operands of a chain of + and -, only its left side opened: brackets stay."""
    minus: list[Tree] = []
    plus: list[Tree] = []
    while isinstance(tree, Call) and tree.op in ("add", "sub") and len(tree.args) == 2:
        (plus if tree.op == "add" else minus).append(tree.args[1])
        tree = tree.args[0]
    return [tree, *reversed(plus)], list(reversed(minus))
