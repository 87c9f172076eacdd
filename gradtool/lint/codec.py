"""Frozen dataclasses to JSON and back, by their annotations: nothing else is ever constructed."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


_PLAIN = frozenset({str, int, float, bool, type(None)})


class CodecError(ValueError):
    """The JSON does not describe the class."""


def to_data(value: object) -> Any:
    """What `json.dumps` takes; a frozenset becomes a sorted list."""
    kind: type[Any] = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, tuple | list):
        return [item if type(item) in _PLAIN else to_data(item) for item in value]
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
    found: T = _reader(kind)(data)  # type: ignore[arg-type]  # every type has a hash
    return found


Reader = Callable[[object], Any]


@cache
def _reader(kind: Any) -> Reader:
    """What reads values of one annotation; made once, for a course has many of each."""
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _dataclass_reader(kind)
    if origin in (Union, types.UnionType):
        read = _reader(next(a for a in arguments if a is not type(None)))
        if type(None) not in arguments:
            return read
        return lambda data: None if data is None else read(data)
    if origin is Literal:
        return partial(_literal, arguments)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return partial(_tuple, kind, _reader(arguments[0]))
        return partial(_row, kind, tuple(map(_reader, arguments)))
    if origin is frozenset:
        return partial(_frozenset, kind, _reader(arguments[0]))
    return partial(_plain, kind, (int, float) if kind is float else (kind,))


def _dataclass_reader(kind: type) -> Reader:
    readers: dict[str, Reader] = {}

    def read(data: object) -> Any:
        if not isinstance(data, dict):
            raise CodecError(f"expected an object for {kind}")
        if not readers:
            readers.update({name: _reader(hint) for name, hint in get_type_hints(kind).items()})
        if unknown := data.keys() - readers.keys():
            raise CodecError(f"unknown fields {sorted(unknown)}")
        try:
            return kind(**{name: readers[name](value) for name, value in data.items()})
        except TypeError as error:
            raise CodecError(str(error)) from None

    return read


def _literal(choices: tuple[object, ...], data: object) -> Any:
    if data not in choices:
        raise CodecError(f"expected one of {choices}")
    return data


def _tuple(kind: object, read: Reader, data: object) -> Any:
    if not isinstance(data, list):
        raise CodecError(f"expected {kind}")
    return tuple([read(item) for item in data])


def _row(kind: object, readers: tuple[Reader, ...], data: object) -> Any:
    if not isinstance(data, list) or len(data) != len(readers):
        raise CodecError(f"expected {kind}")
    return tuple([read(item) for read, item in zip(readers, data, strict=True)])


def _frozenset(kind: object, read: Reader, data: object) -> Any:
    if not isinstance(data, list):
        raise CodecError(f"expected {kind}")
    return frozenset([read(item) for item in data])


def _plain(kind: object, types_: tuple[type, ...], data: object) -> Any:
    if kind not in (int, float, str, bool) or type(data) not in types_:
        raise CodecError(f"expected {kind}")
    return data


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind))
