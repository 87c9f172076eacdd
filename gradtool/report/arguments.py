"""Texts of the command line to values: ``W,b`` and ``x=-2,w=[1,2]``."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable
from typing import TypeAlias

from gradtool.ir import syntax
from gradtool.spec.usage import UsageError

Value: TypeAlias = "int | float | list[Value]"


def names(texts: Iterable[str], option: str) -> tuple[str, ...]:
    """The names in comma-separated texts, in order, each once.

    Raises:
        UsageError: a text is empty or has an empty place, as ``W,,b``.
    """
    found: list[str] = []
    for text in texts:
        for name in (part.strip() for part in text.split(",")):
            if not name:
                raise UsageError(
                    f"{option} {text!r}: expected names separated by commas, found an empty one",
                    f"for example: {option} W,b",
                )
            found.append(name)
    return tuple(dict.fromkeys(found))


def point(texts: Iterable[str], option: str) -> dict[str, Value]:
    """The values in ``name=value`` pairs; a value is a number or a (nested) list of numbers.

    Raises:
        UsageError: a text is not such a list of pairs, or gives a name twice.
    """
    found: dict[str, Value] = {}
    for text in texts:
        for name, value in _pairs(text, option):
            if name in found:
                raise UsageError(f"{option}: {name} is given twice")
            found[name] = value
    return found


def _pairs(text: str, option: str) -> list[tuple[str, Value]]:
    # The text is exactly the keyword arguments of a call: Python's grammar knows where a list
    # ends, which a split at commas does not.
    wrong = UsageError(
        f"{option} {text!r}: expected name=value pairs separated by commas",
        f"for example: {option} x=-2,y=5 or {option} 'w=[0.5, 1]'",
    )
    try:
        call = syntax.parse(f"point({text}\n)", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise wrong from None
    match call:
        case ast.Call(func=ast.Name(id="point"), args=[], keywords=[_, *_] as keywords):
            pass
        case _:
            raise wrong
    pairs = []
    for keyword in keywords:
        if keyword.arg is None:
            raise wrong
        pairs.append((keyword.arg, _value(keyword.value, keyword.arg, option)))
    return pairs


def _value(node: ast.expr, name: str, option: str) -> Value:
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as number) if math.isfinite(number):
            return number
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant() as operand):
            number_or_list = _value(operand, name, option)
            if not isinstance(number_or_list, list):
                return -number_or_list if isinstance(sign, ast.USub) else number_or_list
        case ast.List(elts=elements):
            return [_value(element, name, option) for element in elements]
    raise UsageError(
        f"{option}: {name} must be a finite number or a list of numbers, found {ast.unparse(node)}"
    )
