"""One change of a function that may make it right, and what was then the mistake."""

from __future__ import annotations

import ast
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fix:
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


_LONGEST = 72
_TEXT = "_gradtool_text"
