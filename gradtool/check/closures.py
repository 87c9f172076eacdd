"""The functions that a function returns, by its text: ``return Y, backprop``.

Such a closure has what the forward pass has computed without a cache, so a forward pass may return
its backward pass beside its output, as what makes a vector-Jacobian product does.  An object of a
class that can be called is such a function, too, ``return Y, TanhBackward(Y)``; and it may have a
key in place of a place, ``return {"out": Y, "back": backprop}``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from gradtool.check.defined import Definition, definitions_in, is_partial, made_of

UNNAMED = "backward"
"""What a function is called that is returned without a name: a lambda where it is written."""

Callers: TypeAlias = Mapping[str, ast.FunctionDef]
"""By the name of a class what a call of its objects runs."""

Place: TypeAlias = int | str
"""Of a function among what is returned: in a tuple, or a key of a dictionary."""

_NO_CALLERS: Callers = MappingProxyType({})


def callers_in(trees: Iterable[ast.Module]) -> Callers:
    """The classes of a file whose objects can be called."""
    return {
        node.name: method
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name == "__call__"
    }


def elements_of(value: ast.expr) -> list[ast.expr]:
    """What stands in a returned value: the entries of a tuple, or the value alone."""
    return value.elts if isinstance(value, ast.Tuple | ast.List) else [value]


def _dictionary(value: ast.expr, function: ast.FunctionDef) -> ast.expr:
    """Of the name of a dictionary what is written out for it, else the value."""
    if not isinstance(value, ast.Name):
        return value
    for statement in _statements(function):
        match statement:
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Dict() | ast.Call(func=ast.Name(id="dict"))
            ) if name == value.id:
                return statement.value
    return value


def entries_of(value: ast.expr) -> list[tuple[str, ast.expr]] | None:
    """What stands in a dictionary that is written out, by its constant keys; None where none is."""
    match value:
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return [
                (key.value, one)
                for key, one in pairs
                if isinstance(key, ast.Constant) and isinstance(key.value, str)
            ]
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if keywords:
            return [(one.arg, one.value) for one in keywords if one.arg is not None]
    return None


def _placed(value: ast.expr) -> Iterable[tuple[Place, ast.expr]]:
    """What stands in a returned value, with its place or its key."""
    entries = entries_of(value)
    return enumerate(elements_of(value)) if entries is None else entries


def returned_functions(
    function: ast.FunctionDef, values: Iterable[ast.expr], callers: Callers = _NO_CALLERS
) -> list[dict[Place, ast.FunctionDef]]:
    """For each value that a function returns the functions of its own in it, by their places.

    Those without a name have an empty one.  Of an object it is the method of its class.
    """
    known: Mapping[str, Definition] | None = None
    found: list[dict[Place, ast.FunctionDef]] = []
    for value in values:
        places: dict[Place, ast.FunctionDef] = {}
        found.append(places)
        for place, element in _placed(_dictionary(value, function)):
            if (method := _called(element, callers)) is not None:
                places[place] = method
                continue
            if not isinstance(element, _FUNCTIONS) and not is_partial(element):
                continue
            known = _inner(function, callers) if known is None else known
            if (one := _function(element, known)) is not None:
                places[place] = one
    return found


def values_returned(function: ast.FunctionDef) -> list[ast.expr]:
    """What a function returns, without what the functions inside it do."""
    own = _statements(function)
    return [s.value for s in own if isinstance(s, ast.Return) and s.value is not None]


def received(
    target: ast.expr, function: ast.FunctionDef, callers: Callers = _NO_CALLERS
) -> dict[str, ast.FunctionDef]:
    """The functions that an assignment of a function's result gives a name, by that name.

    Of a dictionary it is what reads them: ``kept["back"]``.
    """
    found: dict[str, ast.FunctionDef] = {}
    values = values_returned(function)
    for value, places in zip(values, returned_functions(function, values, callers), strict=True):
        targets = elements_of(target)
        count = len(elements_of(value))
        stars = [k for k, one in enumerate(targets) if isinstance(one, ast.Starred)]
        for place, inner in places.items():
            if isinstance(place, str):
                if isinstance(target, ast.Name):
                    found[f"{target.id}[{place!r}]"] = inner
                continue
            if count != len(targets) and not stars:
                continue
            behind = bool(stars) and place > stars[0]
            one = targets[place + len(targets) - count if behind else place]
            if isinstance(one, ast.Name):
                found[one.id] = inner
    return found


def _inner(function: ast.FunctionDef, callers: Callers) -> dict[str, Definition]:
    """The functions that are defined in a function, by name, and objects that it makes."""
    known: dict[str, Definition] = {}
    statements = _statements(function)
    for _ in definitions_in(statements, "", known):
        pass
    for statement in statements if callers else ():
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if (method := _called(value, callers)) is not None:
                    known[name] = Definition(method, "", name)
    return known


def _called(value: ast.expr, callers: Callers) -> ast.FunctionDef | None:
    """What a call of a new object runs: of ``TanhBackward(Y)``."""
    match value:
        case ast.Call(func=ast.Name(id=name)):
            return callers.get(name)
    return None


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
