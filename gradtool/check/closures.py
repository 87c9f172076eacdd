"""The functions that a function returns, by its text: ``return Y, backprop``.

Such a closure has what the forward pass has computed without a cache, so a forward pass may return
its backward pass beside its output, as what makes a vector-Jacobian product does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from gradtool.check.defined import Definition, definitions_in, is_partial, made_of

UNNAMED = "backward"
"""What a function is called that is returned without a name: a lambda where it is written."""


def elements_of(value: ast.expr) -> list[ast.expr]:
    """What stands in a returned value: the entries of a tuple, or the value alone."""
    return value.elts if isinstance(value, ast.Tuple | ast.List) else [value]


def returned_functions(
    function: ast.FunctionDef, values: Iterable[ast.expr]
) -> list[dict[int, ast.FunctionDef]]:
    """For each value that a function returns the functions of its own in it, by their places.

    Those without a name have an empty one.
    """
    known: Mapping[str, Definition] | None = None
    found: list[dict[int, ast.FunctionDef]] = []
    for value in values:
        places: dict[int, ast.FunctionDef] = {}
        found.append(places)
        for place, element in enumerate(elements_of(value)):
            if not isinstance(element, _FUNCTIONS) and not is_partial(element):
                continue
            known = _inner(function) if known is None else known
            if (one := _function(element, known)) is not None:
                places[place] = one
    return found


def values_returned(function: ast.FunctionDef) -> list[ast.expr]:
    """What a function returns, without what the functions inside it do."""
    own = _statements(function)
    return [s.value for s in own if isinstance(s, ast.Return) and s.value is not None]


def received(target: ast.expr, function: ast.FunctionDef) -> dict[str, ast.FunctionDef]:
    """The functions that an assignment of a function's result gives a name, by that name."""
    found: dict[str, ast.FunctionDef] = {}
    values = values_returned(function)
    for value, places in zip(values, returned_functions(function, values), strict=True):
        targets = elements_of(target)
        count = len(elements_of(value))
        stars = [k for k, one in enumerate(targets) if isinstance(one, ast.Starred)]
        if not stars and count != len(targets):
            continue
        for place, inner in places.items():
            behind = bool(stars) and place > stars[0]
            one = targets[place + len(targets) - count if behind else place]
            if isinstance(one, ast.Name):
                found[one.id] = inner
    return found


def _inner(function: ast.FunctionDef) -> dict[str, Definition]:
    """The functions that are defined in a function, by name."""
    known: dict[str, Definition] = {}
    for _ in definitions_in(_statements(function), "", known):
        pass
    return known


def _statements(function: ast.FunctionDef) -> list[ast.stmt]:
    """The statements of a function in their order, but for those of functions inside it."""
    found: list[ast.stmt] = []
    left: list[ast.AST] = [*reversed(function.body)]
    while left:
        node = left.pop()
        if isinstance(node, ast.stmt):
            found.append(node)
        if isinstance(node, _BLOCKS):
            left += reversed([*ast.iter_child_nodes(node)])
    return found


_FUNCTIONS = (ast.Lambda, ast.Name, ast.IfExp)
_LOOPS = (ast.For, ast.While)
_BLOCKS = (*_LOOPS, ast.If, ast.With, ast.Try, ast.ExceptHandler, ast.Match, ast.match_case)


def _function(value: ast.expr, known: Mapping[str, Definition]) -> ast.FunctionDef | None:
    match value:
        case ast.Name(id=name):
            made = known.get(name)
        case ast.IfExp(body=body, orelse=other):  # ``backprop if training else None``
            return _function(body, known) or _function(other, known)
        case _:
            made = made_of("", value, "", known)
    return made.node if made is not None and isinstance(made.node, ast.FunctionDef) else None
