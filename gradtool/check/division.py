"""Division as Python 2 has it: of two integers it is the integer below.

A converter of syntax leaves it alone, and shapes computed by it (``(H - K) / stride + 1``) are
then no integers any more.
"""

from __future__ import annotations

import ast
import builtins
from typing import Any

import numpy as np

DIVIDE, DIVIDE_INTO = "__gradtool_divide__", "__gradtool_divide_into__"


def classic(tree: ast.Module) -> ast.Module:
    """The same module with classic division, unless it asks for the new one itself."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="__future__", names=names):
                if any(alias.name == "division" for alias in names):
                    return tree
    setattr(builtins, DIVIDE, divide)
    setattr(builtins, DIVIDE_INTO, divide_into)
    changed = _Classic().visit(tree)
    assert isinstance(changed, ast.Module)
    return ast.fix_missing_locations(changed)


class _Classic(ast.NodeTransformer):
    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if not isinstance(node.op, ast.Div):
            return node
        name = ast.Name(DIVIDE, ast.Load())
        return ast.copy_location(ast.Call(name, [node.left, node.right], []), node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        self.generic_visit(node)
        if not isinstance(node.op, ast.Div):
            return node
        # The target is read and written: its text again, once as a value.
        value = ast.parse(ast.unparse(node.target), mode="eval").body
        called = ast.Call(ast.Name(DIVIDE_INTO, ast.Load()), [value, node.value], [])
        return ast.copy_location(ast.Assign([node.target], called), node)


def divide(a: Any, b: Any) -> Any:
    """``a / b`` of Python 2."""
    return a // b if _whole(a) and _whole(b) else a / b


def divide_into(a: Any, b: Any) -> Any:
    """What ``a /= b`` of Python 2 leaves in a; an array is changed in place."""
    if _whole(a) and _whole(b):
        a //= b
    else:
        a /= b
    return a


def _whole(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "iu"
    return isinstance(value, int | np.integer)
