"""Frozen dataclasses to JSON and back, by their annotations: nothing else is ever constructed."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class CodecError(ValueError):
    """The JSON does not describe the class."""


def to_data(value: object) -> Any:
    """What `json.dumps` takes; a frozenset becomes a sorted list."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, tuple | list):
        return [to_data(item) for item in value]
    kind: type[Any] = type(value)
    if dataclasses.is_dataclass(kind):
        return {name: to_data(getattr(value, name)) for name in _names(kind)}
    if isinstance(value, frozenset | set):
        return sorted(to_data(item) for item in value)
    return value


def from_data(kind: type[T], data: object) -> T:
    """The instance of a dataclass that `to_data` described.

    Raises:
        CodecError: it does not fit the annotations.
    """
    found: T = _read(kind, data)
    return found


def _read(kind: Any, data: object) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if not isinstance(data, Mapping):
            raise CodecError(f"expected an object for {kind}")
        hints = _hints(kind)
        if unknown := data.keys() - hints.keys():
            raise CodecError(f"unknown fields {sorted(unknown)}")
        try:
            return kind(**{name: _read(hints[name], value) for name, value in data.items()})
        except TypeError as error:
            raise CodecError(str(error)) from None
    if origin in (Union, types.UnionType):
        if data is None and type(None) in arguments:
            return None
        return _read(next(a for a in arguments if a is not type(None)), data)
    if origin is Literal:
        if data not in arguments:
            raise CodecError(f"expected one of {arguments}")
        return data
    if origin is tuple and isinstance(data, list):
        if arguments[-1] is Ellipsis:
            return tuple(_read(arguments[0], item) for item in data)
        if len(arguments) == len(data):
            return tuple(_read(a, item) for a, item in zip(arguments, data, strict=True))
    if origin is frozenset and isinstance(data, list):
        return frozenset(_read(arguments[0], item) for item in data)
    if kind is float and type(data) in (int, float):
        return data
    if kind in (int, str, bool) and type(data) is kind:
        return data
    raise CodecError(f"expected {kind}")


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
