"""Every small change of a function, and every value of it moved."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator

from gradtool.check.repairs import arithmetic, calls, everywhere, forwards, names, statements
from gradtool.check.repairs.fix import Fix
from gradtool.check.repairs.scope import Scope, Surroundings
from gradtool.records import replace

_UNLIKELY, _DEAREST = 0.4, 2.0


def moves(function: ast.FunctionDef) -> Iterator[Fix]:
    """Every value of a function, a little larger."""
    around = Surroundings(function)
    for node in _nodes(function.body):
        value = isinstance(
            node, ast.Name | ast.Attribute | ast.Subscript | ast.BinOp | ast.UnaryOp | ast.Call
        )
        if not isinstance(node, ast.stmt) and value and around.role(node) == "value":
            parent, name = around.parent(node)
            if not isinstance(parent, ast.If | ast.While) and name not in ("func", "iter"):
                factor, more = ast.Constant(1.37), ast.Constant(0.61)  # also of what is zero
                moved = ast.BinOp(ast.BinOp(node, ast.Mult(), factor), ast.Add(), more)
                yield Fix(node, moved, "", 0.0, "")


def changes(
    function: ast.FunctionDef,
    scope: Scope,
    further: bool,
    harmful: Collection[int],
    unlikely: Collection[int],
) -> Iterator[Fix]:
    """Every small change of a function, those of one node together.

    `further` tells whether the far-fetched ones are among them; `harmful` are nodes that keep the
    values that they have, and so does all that they are made of.  Those of `unlikely` nodes cost
    more: something right comes of them, though it is no result.
    """
    around = Surroundings(function)
    for node in _nodes(function.body):
        yield from calls.rearranged(node)
        inside = node.value if isinstance(node, ast.Assign | ast.AugAssign) else node
        standing_in = {id(inside), *(id(above) for above, _ in around.above(inside))}
        if not standing_in.isdisjoint(harmful):
            continue
        found = _at(node, scope, around, further)
        if not standing_in.isdisjoint(unlikely):
            found = [
                replace(fix, cost=max(fix.cost, min(fix.cost + _UNLIKELY, _DEAREST)))
                for fix in found
            ]
        yield from found


def _at(
    node: ast.expr | ast.stmt, scope: Scope, around: Surroundings, further: bool
) -> Iterable[Fix]:
    if isinstance(node, ast.stmt):
        return [
            *statements.fixes(node, scope, around),
            *everywhere.fixes(node, scope, around),
        ]
    found: list[Fix] = []
    if further:
        found += names.further(node, scope, around)
        found += forwards.further(node, scope, around) if scope.of_output else ()
    for module in (arithmetic, calls, names, everywhere, forwards):
        found += module.fixes(node, scope, around)
    return [*found, *names.missing(node, scope, around), *statements.loops(node, around)]


def _nodes(body: Iterable[ast.AST]) -> Iterator[ast.expr | ast.stmt]:
    """Statements and expressions that are read; functions inside are left as they are."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda | ast.JoinedStr):
            continue
        if isinstance(node, ast.stmt):
            yield node
        if isinstance(node, ast.expr) and not isinstance(
            node, ast.Slice | ast.Starred | ast.Tuple | ast.List
        ):
            stored = isinstance(getattr(node, "ctx", ast.Load()), ast.Store | ast.Del)
            if not stored:
                yield node
        yield from _nodes(ast.iter_child_nodes(node))
