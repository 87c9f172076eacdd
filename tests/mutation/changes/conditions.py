"""Comparisons, and the ifs around statements."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutation.key import MASK, PLACE, Codes, codes
from tests.mutation.site import Site

Found = Iterator[tuple[ast.AST | None, Codes, str]]
_RELATIONS = (ast.Gt, ast.GtE, ast.Lt, ast.NotEq, ast.Eq)


def relations(site: Site) -> Found:
    """Another relation, or none."""
    node = site.node
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return
    # One that tells the steps of a loop apart is about places, too.
    inside = Site(node.left, [*site.parents, node], site.values, site.gradients)
    places = PLACE if inside.is_number(node.left) and site.in_loop() else codes()
    for relation in _RELATIONS:
        if relation is not type(node.ops[0]):
            yield ast.Compare(node.left, [relation()], node.comparators), MASK | places, "relation"
    # The value itself stands where its mask belongs.
    yield node.left, MASK | codes("wrong-tensor"), "relation"


def guards(site: Site) -> Found:
    """An if that is always, or never, taken."""
    node = site.node
    if not isinstance(node, ast.If) or node.orelse:
        return
    accepted = MASK | (PLACE if site.in_loop() else codes())
    yield ast.If(ast.Constant(True), node.body, []), accepted, "condition"
    gone = MASK | codes("zero missing-path regulariser") | (PLACE if site.in_loop() else codes())
    yield ast.If(ast.Constant(False), node.body, []), gone, "condition"


OPERATORS = (relations, guards)
