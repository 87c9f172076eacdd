"""One change of a function that may make it right, and what was then the mistake."""

from __future__ import annotations

import ast

from gradtool.records import Struct


class Fix(Struct, frozen=True):
    """A change of one node.

    Attributes:
        node: the expression or statement of the user's that is replaced.
        new: what stands there then; statements for a statement.
        code: the mistake, as `gradtool explain` knows it.
        cost: how unusual a mistake it is; 1 is the most common kind.
        what: the mistake in words that do not give the right formula away.
    """

    node: ast.expr | ast.stmt
    new: ast.expr | tuple[ast.stmt, ...]
    code: str
    cost: float
    what: str


def shown(node: ast.AST | tuple[ast.stmt, ...]) -> str:
    """A node as text on one line, shortened in the middle where it is long."""
    if isinstance(node, tuple):
        return "; ".join(shown(ast.fix_missing_locations(part)) for part in node)
    known = getattr(node, _TEXT, None)
    if known is None:
        text = " ".join(ast.unparse(node).split())
        known = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 12]} ... {text[-7:]}"
        setattr(node, _TEXT, known)  # asked for every change of a node
    return str(known)


def apart(
    old: ast.AST | tuple[ast.stmt, ...], new: ast.AST | tuple[ast.stmt, ...]
) -> tuple[str, str]:
    """Two nodes as text; of long ones the part that is not the same: ``=`` and ``+=``."""
    if isinstance(new, tuple) and len(new) == 1:
        (new,) = new
    while not isinstance(old, tuple) and not isinstance(new, tuple):
        if len(shown(old)) < _LONGEST > len(shown(ast.fix_missing_locations(new))):
            break
        operators = _operator(old), _operator(new)
        if None not in operators and operators[0] != operators[1]:
            return str(operators[0]), str(operators[1])
        differing = [
            (one, other)
            for one, other in zip(*map(_children, (old, new)), strict=False)
            if ast.dump(one) != ast.dump(other)
        ]
        alike = type(old) is type(new) and len(_children(old)) == len(_children(new))
        if not alike or len(differing) != 1 or isinstance(differing[0][0], ast.operator):
            break
        ((old, new),) = differing
    return shown(old), shown(new)


def _children(node: ast.AST) -> list[ast.AST]:
    return list(ast.iter_child_nodes(node))


def _operator(node: ast.AST) -> str | None:
    """Of an assignment."""
    if isinstance(node, ast.Assign):
        return "="
    if isinstance(node, ast.AugAssign):
        # Nothing but ast.unparse knows how an operator is written.
        return ast.unparse(ast.AugAssign(ast.Name("_"), node.op, ast.Name("_"))).split()[1]
    return None


_LONGEST = 72
_TEXT = "_gradtool_text"
