"""What the statements of a file or a class define: by `def` and `class`, and by an assignment.

``relu_prime = lambda z: …`` is a function, ``backward = relu_prime`` another name of one,
``np.vectorize(relu)`` what a decorator makes of it, ``partial(leaky, slope=0)`` one with fewer
arguments, and ``relu = Relu()`` one, where objects of that class can be called and nothing else.
All are read as if they had been written with `def`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from copy import copy
from typing import TypeAlias

from gradtool.records import Struct, replace

Node: TypeAlias = ast.FunctionDef | ast.ClassDef


class Definition(Struct, frozen=True):
    """A function or class: its node, the text that it stands in, and what it was called first."""

    node: Node
    place: str
    first: str

    def called(self, name: str) -> Definition:
        """The same under another name."""
        node = copy(self.node)
        node.name = name
        return replace(self, node=node)


def definitions_in(
    statements: Iterable[ast.stmt], place: str, known: MutableMapping[str, Definition]
) -> Iterator[Definition]:
    """Every definition in the order of the text; `known` are those before, and gets them."""
    for statement in statements:
        for found in _made_by(statement, place, known):
            known[found.node.name] = found
            yield found
        if isinstance(statement, ast.If | ast.Try | ast.With):
            yield from definitions_in(statement.body, place, known)
            yield from definitions_in(getattr(statement, "orelse", []), place, known)


def made_by_calls(statements: Iterable[ast.stmt]) -> list[str]:
    """The names at top level whose value is the result of a call: ``f = make(1)``."""
    return [
        target.id
        for statement in statements
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call)
        for target in statement.targets
        if isinstance(target, ast.Name)
    ]


def _made_by(statement: ast.stmt, place: str, known: Mapping[str, Definition]) -> list[Definition]:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [Definition(statement, place, name)]
        case ast.Assign(targets=targets, value=value):
            return [one for target in targets for one in _given(target, value, place, known)]
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            return _given(target, value, place, known)
    return []


def _given(
    target: ast.expr, value: ast.expr, place: str, known: Mapping[str, Definition]
) -> list[Definition]:
    """What an assignment defines: ``f = lambda x: x``, ``f, g = g, f``."""
    match target, value:
        case ast.Tuple(elts=left), ast.Tuple(elts=right) if len(left) == len(right):
            pairs = zip(left, right, strict=True)
            return [one for pair in pairs for one in _given(*pair, place, known)]
        case ast.Name(id=name), _ if (made := made_of(name, value, place, known)) is not None:
            return [made]
    return []


def made_of(
    name: str, value: ast.expr, place: str, known: Mapping[str, Definition]
) -> Definition | None:
    """What a value is under a name; None where it is no function and no class."""
    match value:
        case ast.Lambda(args=arguments, body=body):
            given = ast.copy_location(ast.Return(body), body)
            node = ast.FunctionDef(name, arguments, [given], [])
            return Definition(ast.copy_location(node, value), place, name)
        case ast.Name(id=other) if other in known:
            return known[other].called(name)
        case ast.Call(args=[inner, *given]) if (
            is_partial(value) and (whole := made_of(name, inner, place, known)) is not None
        ):
            return _partial(name, whole, given, value)
        case ast.Call(func=ast.Name(id=owner)) if owner in known and (
            method := _only_called(known[owner].node)
        ):
            return Definition(method, known[owner].place, name).called(name)
        case ast.Call(func=decorator, args=[ast.Lambda() | ast.Name() as inner], keywords=[]):
            made = made_of(name, inner, place, known)
            if made is None or not isinstance(made.node, ast.FunctionDef):
                return None
            made.node.decorator_list = [decorator, *made.node.decorator_list]
            return replace(made, first=name)
    return None


def _only_called(owner: Node) -> ast.FunctionDef | None:
    """What a call of an object runs, without the object: of a class that has nothing else."""
    methods = {item.name: item for item in owner.body if isinstance(item, ast.FunctionDef)}
    call = methods.get("__call__")
    if call is None or not isinstance(owner, ast.ClassDef) or owner.bases or call.decorator_list:
        return None
    if any(not name.startswith("__") for name in methods):
        return None
    places = call.args.args
    if call.args.posonlyargs or not places or len(call.args.defaults) >= len(places):
        return None
    method = copy(call)
    method.args = copy(call.args)
    method.args.args = places[1:]
    return method


def is_lambda(node: ast.FunctionDef) -> bool:
    """Whether a definition was made of a lambda: its `return` begins where the value does."""
    match node.body:
        case [ast.Return(value=ast.expr() as value) as only]:
            return (only.lineno, only.col_offset) == (value.lineno, value.col_offset)
    return False


def is_partial(value: ast.expr) -> bool:
    """Whether a value is a function with some of its arguments given: ``partial(f, 1)``."""
    match value:
        case ast.Call(func=ast.Name(id="partial") | ast.Attribute(ast.Name(), "partial")):
            return True
    return False


def _partial(
    name: str, whole: Definition, given: Sequence[ast.expr], call: ast.Call
) -> Definition | None:
    """A function with some of its arguments given: it has the others.

    What stands behind one that is given by name can be given by name only.
    """
    by_name = {keyword.arg for keyword in call.keywords}
    if not isinstance(whole.node, ast.FunctionDef) or None in by_name:
        return None
    if any(isinstance(one, ast.Starred) for one in given):
        return None
    old = whole.node.args
    places = [*old.posonlyargs, *old.args]
    missing = [None] * (len(places) - len(old.defaults))
    pairs = list(zip(places, [*missing, *old.defaults], strict=True))[len(given) :]
    first = next((k for k, (one, _) in enumerate(pairs) if one.arg in by_name), len(pairs))
    named = [*pairs[first:], *zip(old.kwonlyargs, old.kw_defaults, strict=True)]
    named = [(one, default) for one, default in named if one.arg not in by_name]
    arguments = ast.arguments(
        posonlyargs=[],
        args=[one for one, _ in pairs[:first]],
        vararg=old.vararg,
        kwonlyargs=[one for one, _ in named],
        kw_defaults=[default for _, default in named],
        kwarg=old.kwarg,
        defaults=[default for _, default in pairs[:first] if default is not None],
    )
    node = ast.copy_location(copy(whole.node), call)
    node.name, node.args = name, arguments
    return Definition(node, whole.place, name)
