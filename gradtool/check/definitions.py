"""The definitions of a file without its effects: functions, classes, imports, plain values.

Used where importing a file fails or takes for ever: data opened at import, training at top
level, a framework that is not installed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

CUT_SHORT = "importing as it is"
NOT_READ = "Python cannot read"
"""How the note begins that says that a file did not run to its end when it was imported."""

# Calls that only compute.  Anything else at top level may open a file or train for hours.
_PURE_BUILTINS = frozenset(
    [
        "abs",
        "bool",
        "complex",
        "dict",
        "divmod",
        "enumerate",
        "float",
        "frozenset",
        "int",
        "len",
        "list",
        "map",
        "max",
        "min",
        "property",
        "range",
        "reversed",
        "round",
        "set",
        "sorted",
        "str",
        "sum",
        "tuple",
        "zip",
    ]
)
_PURE_MODULES = frozenset({"np", "numpy", "math", "functools", "collections", "itertools"})
_NUMPY_FILES = frozenset(
    [
        "fromfile",
        "fromregex",
        "genfromtxt",
        "load",
        "loadtxt",
        "memmap",
        "open_memmap",
        "save",
        "savetxt",
        "savez",
        "savez_compressed",
    ]
)


def definitions(tree: ast.Module) -> tuple[list[ast.stmt], list[int]]:
    """The statements to keep, in order, and the lines of those left out."""
    kept: list[ast.stmt] = []
    left_out: list[int] = []
    for statement in tree.body:
        if _defines(statement):
            kept.append(statement)
        elif not _is_text(statement):
            left_out.append(statement.lineno)
    return kept, left_out


def _defines(statement: ast.stmt) -> bool:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return True
        case ast.Import() | ast.ImportFrom():
            return True
        case ast.Assign(value=value) | ast.AugAssign(value=value):
            return _is_pure(value)
        case ast.AnnAssign(value=value):
            return value is None or _is_pure(value)
        case ast.Try(body=body, handlers=handlers):  # a guarded import with its substitute
            inner = [*body, *(line for handler in handlers for line in handler.body)]
            return _all_define(inner)
        case ast.If(test=test, body=body, orelse=orelse):
            return not _is_main_guard(test) and _is_pure(test) and _all_define([*body, *orelse])
    return False


def _all_define(statements: Iterable[ast.stmt]) -> bool:
    return all(
        _defines(line) or _is_text(line) or isinstance(line, ast.Pass) or _is_print(line)
        for line in statements
    )


def _is_main_guard(test: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(test))


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_print(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Name(id="print"))):
            return True
    return False


def _is_pure(value: ast.expr) -> bool:
    return all(_is_pure_call(node) for node in _evaluated(value) if isinstance(node, ast.Call))


def _evaluated(node: ast.AST) -> Iterable[ast.AST]:
    """The nodes that run when the expression does: not the body of a lambda."""
    yield node
    if isinstance(node, ast.Lambda):
        return
    for child in ast.iter_child_nodes(node):
        yield from _evaluated(child)


def _is_pure_call(call: ast.Call) -> bool:
    match call.func:
        case ast.Name(id=name):
            return name in _PURE_BUILTINS
        case ast.Attribute(attr=attribute) as function:
            owner: ast.expr = function
            while isinstance(owner, ast.Attribute):
                owner = owner.value
            named = isinstance(owner, ast.Name) and owner.id in _PURE_MODULES
            return named and attribute not in _NUMPY_FILES
    return False
