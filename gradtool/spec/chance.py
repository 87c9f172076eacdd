"""The probability in ``bernoulli(p)``: arithmetic of numbers and of the spec's constants."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from gradtool.ir import syntax
from gradtool.spec.names import shown
from gradtool.spec.scalars import ScalarError

WORD = "bernoulli"
_HINT = "write the probability that an entry is 1: bernoulli(p), bernoulli(1 - p), bernoulli(0.8)"
MAX_LENGTH = 100
_OPERATIONS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def parse_chance(text: str) -> str:
    """The ``p`` of ``bernoulli(p)``.

    Raises:
        ScalarError: it is no such call, or what is in it is no arithmetic.
    """
    problem = ScalarError(f"expected a probability, found {shown(text)}", _HINT)
    if len(text) > MAX_LENGTH:
        raise problem
    try:
        tree = syntax.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise problem from None
    match tree:
        case ast.Call(func=ast.Name(id=word), args=[chance], keywords=[]) if word == WORD:
            if _is_arithmetic(chance):
                return ast.unparse(chance)
    raise problem


def _is_arithmetic(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=value):
            return type(value) in (int, float)
        case ast.Name():
            return True
        case ast.BinOp(left=left, op=op, right=right):
            return type(op) in _OPERATIONS and _is_arithmetic(left) and _is_arithmetic(right)
    return False


def names_in(chance: str) -> frozenset[str]:
    """The constants that a probability is computed from."""
    tree = syntax.parse(chance, mode="eval")
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def chance_of(chance: str, constants: Mapping[str, int | float | Fraction]) -> float:
    """The value of a probability.

    Raises:
        ArithmeticError: it has none.
    """
    return float(_value(syntax.parse(chance, mode="eval").body, constants))


def _value(node: ast.expr, constants: Mapping[str, int | float | Fraction]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            return constants[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATIONS[type(op)](_value(left, constants), _value(right, constants))
    raise ArithmeticError(ast.unparse(node))  # `parse_chance` lets nothing else pass
