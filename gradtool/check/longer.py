"""Numbers with more digits than float64, and the same code without them.

A difference of two forward passes is off by its step and by rounding, which tells it from a
formula.  With digits enough the step may be so small that nothing is left to see.  Read as
float64 the formula stays right but for its last digits, and the difference does not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

_NAMES = frozenset({"longdouble", "longfloat", "float96", "float128", "float256"})
_CODES = frozenset(order + code for order in ("", "<", ">", "=") for code in ("g", "f12", "f16"))
_MODULES = frozenset({"decimal", "fractions", "mpmath", "gmpy2"})
_DIGITS, _BITS = 16, 53  # of float64
_PRECISIONS = {"dps": _DIGITS, "precision": _BITS}
# A type, as others may ask whether something is a fraction; what it makes are numbers.
_FRACTION = """type("Fraction", (float,), {
    "__new__": lambda _, numerator=0, denominator=1: (
        float(__import__("fractions").Fraction(numerator))
        if isinstance(numerator, str) else numerator / denominator
    ),
    "from_float": float,
    "from_decimal": float,
})"""
_START = "__import__('decimal').getcontext().prec = __import__('decimal').DefaultContext.prec = "


def has_longer(nodes: Iterable[ast.AST]) -> bool:
    """Whether a text names a type of longer numbers, or a module of such; see `nodes.telling`."""
    return any(map(_is_longer, nodes))


def _is_longer(node: ast.AST) -> bool:
    match node:
        case ast.Name(id=word) | ast.Attribute(attr=word):
            return word in _NAMES
        case ast.Constant(value=str(text)):
            return text in _NAMES or text in _CODES
        case ast.ImportFrom(module=module, names=names):
            from_numpy = any(alias.name in _NAMES for alias in names)
            return from_numpy or (module or "").partition(".")[0] in _MODULES
        case ast.Import(names=names):
            return any(alias.name.partition(".")[0] in _MODULES for alias in names)
    return False


class Narrower(ast.NodeTransformer):
    """Longer numbers are float64, or have as many digits; to visit a whole module."""

    def visit_Module(self, node: ast.Module) -> ast.AST:
        imported = {name.partition(".")[0] for item in ast.walk(node) for name in _imports(item)}
        self._numpy = {
            alias.asname or alias.name
            for item in ast.walk(node)
            if isinstance(item, ast.Import)
            for alias in item.names
            if alias.name == "numpy"
        }
        self._prec = _BITS if imported & {"mpmath", "gmpy2"} else _DIGITS
        self.generic_visit(node)
        if "decimal" in imported:
            (start,) = ast.parse(f"{_START}{_DIGITS}").body
            place = next((k for k, s in enumerate(node.body) if not _stands_first(s)), 0)
            node.body.insert(place, start)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr in _NAMES:
            node.attr = "float64"
        elif node.attr == "Fraction":
            return ast.copy_location(ast.parse(_FRACTION, mode="eval").body, node)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.stmt]:
        for alias in node.names:
            if alias.name in _NAMES:
                alias.asname, alias.name = alias.asname or alias.name, "float64"
        if node.module != "fractions":
            return node
        made: list[ast.stmt] = []
        for alias in node.names:
            made += ast.parse(f"{alias.asname or alias.name} = {_FRACTION}").body
        return [ast.copy_location(statement, node) for statement in made]

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and node.value in _NAMES:
            return ast.copy_location(ast.Constant("float64"), node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node.func:
            case ast.Attribute(attr="astype") | ast.Name(id="dtype"):
                node.args = [_as_float64(argument) for argument in node.args]
            case ast.Attribute(value=ast.Name(id=owner)) if owner in self._numpy:
                node.args = [_as_float64(argument) for argument in node.args]
            case ast.Attribute(value=number, attr="limit_denominator"):
                return number  # it has no digits that could be taken away
            case ast.Attribute(attr="workdps"):
                node.args = [ast.Constant(_DIGITS)]
            case ast.Attribute(attr="workprec"):
                node.args = [ast.Constant(_BITS)]
        for keyword in node.keywords:
            if keyword.arg == "dtype":
                keyword.value = _as_float64(keyword.value)
            elif keyword.arg == "prec":
                keyword.value = ast.Constant(self._prec)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        for target in node.targets:
            if isinstance(target, ast.Attribute) and target.attr in (*_PRECISIONS, "prec"):
                node.value = ast.Constant(_PRECISIONS.get(target.attr, self._prec))
        return node


def _as_float64(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Constant) and node.value in _CODES:
        return ast.copy_location(ast.Constant("float64"), node)
    return node


def _imports(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module)):
            return [module]
    return []


def _stands_first(statement: ast.stmt) -> bool:
    """Whether a statement has to stand before all others: a docstring, a future import."""
    match statement:
        case ast.Expr(value=ast.Constant()) | ast.ImportFrom(module="__future__"):
            return True
    return False
