"""A function of the user's that returns None where more is read from it: said in these words.

Python says what it cannot do with None, in a line of the snippet that calls the function, which
the user has not written.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from gradtool.check.answers import clean
from gradtool.check.inventory import Function, Inventory
from gradtool.check.result import RETURNS_NONE, SNIPPET, Remark, Trouble
from gradtool.ir import syntax
from gradtool.records import Struct, replace

_STAGES = ("setup", "forward", "backward")


class _Found(Struct, frozen=True):
    name: str
    function: Function


def plainly(trouble: Trouble, snippets: Mapping[str, str | None], inventory: Inventory) -> Trouble:
    """The trouble, in plain words where a function returned None; else as it is."""
    if not trouble.place.startswith(SNIPPET) or "NoneType" not in trouble.message:
        return trouble
    found = _returned_none(trouble, snippets, inventory)
    if found is None:
        return trouble
    return replace(
        trouble,
        message=f"{found.name} {RETURNS_NONE}",
        place=clean(found.function.place),
        line=found.function.line,
        source="",
    )


def unfinished(trouble: Trouble | None) -> tuple[Remark, ...]:
    """What is said where the trouble is that a function is not written yet."""
    if trouble is None:
        return ()
    if trouble.message.endswith(RETURNS_NONE):
        return (Remark("unfinished", trouble.message),)
    if trouble.message.startswith("NotImplementedError"):
        return (Remark("unfinished", "not written yet: the code raises NotImplementedError"),)
    return ()


def _returned_none(
    trouble: Trouble, snippets: Mapping[str, str | None], inventory: Inventory
) -> _Found | None:
    """The only function whose value was used in the way that None does not allow."""
    assigned: dict[str, ast.expr] = {}
    received: dict[str, list[_Found]] = {}
    for stage in _STAGES:
        for statement in _statements(snippets.get(stage)):
            here = trouble.place == SNIPPET + stage
            if here and statement.lineno <= trouble.line <= (statement.end_lineno or 0):
                used = [
                    assigned.get(e.id, e) if isinstance(e, ast.Name) else e
                    for e in _used(statement, trouble.message)
                ]
                called = [_called(expression, inventory, received) for expression in used]
                return called[0] if len(called) == 1 else None
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    assigned[name] = value
                case ast.Assign(targets=[ast.Tuple(elts=elements)], value=value):
                    received |= _received(elements, _called(value, inventory, {}))
    return None


def _received(targets: Sequence[ast.expr], outer: _Found | None) -> dict[str, list[_Found]]:
    """The functions that a function returns, by the names that a snippet gives them."""
    inner = outer.function.inner if outer is not None else ()
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return {
        name: [_Found(one.name, one) for one in inner if name.rstrip("_") == one.name]
        for name in names
    }


def _statements(text: str | None) -> list[ast.stmt]:
    try:
        return syntax.parse(text or "").body
    except (SyntaxError, ValueError):  # the worker has said so
        return []


def _used(statement: ast.stmt, message: str) -> Iterator[ast.expr]:
    """What a statement takes apart in the way that an exception names."""
    for node in ast.walk(statement):
        match node:
            case ast.Assign(targets=[ast.Tuple() | ast.List()], value=value):
                if "unpack" in message:
                    yield value
            case ast.Subscript(value=value):
                if "subscriptable" in message:
                    yield value
            case ast.Attribute(value=value):
                if "attribute" in message:
                    yield value


def _called(
    expression: ast.expr, inventory: Inventory, received: Mapping[str, list[_Found]]
) -> _Found | None:
    match expression:
        case ast.Call(func=ast.Name(id=name)) if name in received:
            functions = received[name]
        case ast.Call(func=ast.Name(id=name)):
            functions = [_Found(name, f) for f in inventory.functions if f.name == name]
        case ast.Call(func=ast.Attribute(attr=name)):
            functions = [
                _Found(f"{owner.name}.{name}", method)
                for owner in inventory.classes
                if (method := owner.method(name)) is not None
            ]
        case _:
            return None
    return functions[0] if len(functions) == 1 else None
