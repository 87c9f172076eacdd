"""All nodes of a syntax tree, as `ast.walk` gives them, in a third of the time.

A worker looks through the same small tree several times, and does little else but run it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import lru_cache


def nodes_of(tree: ast.AST) -> list[ast.AST]:
    """The tree and every node below it, level by level."""
    found = [tree]
    for node in found:  # it grows on the way
        values = node.__dict__
        for field in node._fields:
            value = values.get(field)
            if isinstance(value, list):
                found += [item for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST):
                found.append(value)
    return found


def telling(nodes: Iterable[ast.AST]) -> list[ast.AST]:
    """The nodes by which a text names something: names, attributes, constants, imports.

    And its powers, for a root of a negative number is complex.
    """
    return [
        node
        for node in nodes
        if type(node) in _TELLING or (type(node) in _OPERATING and type(node.op) is ast.Pow)  # type: ignore[attr-defined]
    ]


_OPERATING = frozenset({ast.BinOp, ast.AugAssign})
_TELLING = frozenset({ast.Name, ast.Attribute, ast.Constant, ast.Import, ast.ImportFrom})


@lru_cache(maxsize=256)  # the cells of a notebook are looked at one after the other, and again
def nodes_of_file(tree: ast.Module) -> tuple[ast.AST, ...]:
    """The same of a tree that is only read from here on: it is walked once.

    Trees are told apart by identity: whoever changes one has to copy it first.
    """
    return tuple(nodes_of(tree))
