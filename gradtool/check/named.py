"""What a result says of its parts at run time: a named tuple its fields, a dictionary its keys.

A text shows them where it has a dictionary in it.  What a helper returns, a class of another file
or ``dict(zip(names, grads))`` shows when it is there.  So the worker looks at what the snippets
get from the user's code before they take it apart, and tells the judge how it is made up: names
and places, no numbers.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

WATCH = "<result>"
"""What the snippets call with each result; no file and no snippet can have that name."""

_DEPTH = 3
_MOST = 64  # parts of one result
_ONE = (np.ndarray, np.generic, float, int)
_SEVERAL = (tuple, list)


def watch(tree: ast.Module) -> None:
    """Change a snippet so that every result which it assigns is shown to `WATCH`."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and (source := source_of(statement)) is not None:
            name = ast.Constant(called(source))
            shown = ast.Call(ast.Name(WATCH, ast.Load()), [name, source], [])
            if source is statement.value:
                statement.value = shown
            elif isinstance(statement.value, ast.Subscript):
                statement.value.value = shown


def source_of(statement: ast.Assign) -> ast.expr | None:
    """What a statement takes apart or takes one of: a call, or ``layer.grads`` by a place."""
    match statement.value:
        case ast.Call(func=ast.Name() | ast.Attribute(value=ast.Name(id="layer"))) as call:
            return call
        case ast.Subscript(value=ast.Attribute() as kept, slice=ast.Constant(value=int())):
            return kept
    return None


def called(source: ast.expr) -> str:
    """By what name a result is told: of a call the function's."""
    return ast.unparse(source.func if isinstance(source, ast.Call) else source)


def parts_of(value: object, depth: int = 0) -> Any:
    """How a result is made up, as JSON; None where it is one array, or something else.

    A tuple or list is the list of its parts; what has names is ``{"by": "key"`` or ``"name",
    "parts": [[name, part], ...]}``.  A list of numbers is an array, too.
    """
    if value is None or isinstance(value, _ONE) or depth > _DEPTH:
        return None
    try:
        plain = type(value) in _SEVERAL
        if not plain and (fields := _fields(value)) is not None:
            how, named = fields
            items = list(named.items())[:_MOST]
            return {"by": how, "parts": [[n, parts_of(part, depth + 1)] for n, part in items]}
        if isinstance(value, _SEVERAL):
            parts = [parts_of(part, depth + 1) for part in value[:_MOST]]
            arrays = (isinstance(part, np.ndarray) and part.ndim for part in value)
            return parts if any(arrays) or any(part is not None for part in parts) else None
    except Exception:  # an object of the user's may do anything
        return None
    return None


def tells(parts: Any) -> bool:
    """Whether parts say more than how many they are."""
    return isinstance(parts, dict) or (
        isinstance(parts, list) and any(part is not None for part in parts)
    )


def _fields(value: object) -> tuple[str, Mapping[str, object]] | None:
    """The named parts of a value and how they are read; None where it has none."""
    if isinstance(value, Mapping):
        named = all(isinstance(key, str) for key in value)
        return ("key", value) if named and len(value) else None
    names = getattr(type(value), "_fields", None)
    if isinstance(value, tuple) and isinstance(names, tuple):
        return "name", dict(zip(names, value, strict=True))
    if isinstance(value, type):
        return None
    dataclasses = sys.modules.get("dataclasses")  # whoever made such a class has imported it
    if dataclasses is not None and dataclasses.is_dataclass(value):
        return "name", {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    own = getattr(value, "__dict__", None)
    # A plain object that holds values.  What converts itself to an array, or can be called, is
    # one thing: a tensor, a layer.
    one = ("__array__", "__len__", "__iter__", "__call__", "detach")
    if isinstance(own, dict) and own and not any(hasattr(value, name) for name in one):
        return "name", {**own, **_properties(value)}
    return None


def _properties(value: object) -> dict[str, object]:
    """What the properties of an object give that everybody may read; what raises is left out."""
    found: dict[str, object] = {}
    for kind in type(value).__mro__[:-1]:
        for name, made in vars(kind).items():
            if isinstance(made, property) and not name.startswith("_") and name not in found:
                with suppress(Exception):
                    found[name] = getattr(value, name)
    return found
