"""What a call writes into: arrays get their numbers without an assignment, too.

``np.add(a, b, out=c)``, ``np.add(a, b, c)``, ``np.add.at(c, i, a)``, ``np.copyto(c, a)``,
``c.fill(a)``: NumPy's functions that write say so by these names (its reference, "Universal
functions" and "Array manipulation routines").
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import numpy as np

_NUMPY = frozenset({"np", "numpy"})
_INTO_FIRST = frozenset({"copyto", "put", "place", "putmask", "put_along_axis", "fill_diagonal"})
_INTO_OWNER = frozenset({"fill", "put"})


def written(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions, as they stand in the text, whose arrays a call writes into."""
    if not isinstance(node, ast.Call):
        return
    for keyword in node.keywords:
        if keyword.arg == "out":
            yield from _each(keyword.value)
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name), args=[*given]) if (
            module in _NUMPY
        ):
            if name in _INTO_FIRST:
                yield from given[:1]
            elif isinstance(ufunc := getattr(np, name, None), np.ufunc):
                yield from given[ufunc.nin :]
        case ast.Call(func=ast.Attribute(value=ast.Attribute(attr=name), attr="at"), args=[*given]):
            if isinstance(getattr(np, name, None), np.ufunc):
                yield from given[:1]
        case ast.Call(func=ast.Attribute(value=owner, attr=name)) if name in _INTO_OWNER:
            yield owner


def ends(target: ast.expr) -> Iterator[ast.expr]:
    """The places that an assignment fills, one by one: of a tuple each of its elements."""
    if isinstance(target, ast.Tuple | ast.List):
        for element in target.elts:
            yield from ends(element)
    else:
        yield target


def _each(value: ast.expr) -> Iterator[ast.expr]:
    """Several outputs stand in a tuple."""
    if isinstance(value, ast.Tuple):
        yield from value.elts
    else:
        yield value
