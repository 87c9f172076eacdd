"""Plain data classes as JSON and back, shared parts once: what a cache keeps of a derivation.

Only classes that the reader names are ever made, and only by their constructors, so that a file
in a cache is data whatever it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from types import ModuleType
from typing import Any

from gradtool.records import Struct

Packed = list[list[Any]]


class StoreError(ValueError):
    """The data do not describe an object of the known classes."""


def classes_of(*modules: ModuleType) -> dict[str, type]:
    """The data classes that modules define, by the name under which they are packed."""
    return {
        _name(value): value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Struct)
        and value.__module__ == module.__name__
    }


def pack(value: object) -> Packed:
    """A list of nodes, parts before what they are parts of, the value itself last.

    Objects that are shared are packed once and are shared again when they are unpacked.
    """
    packer = _Packer()
    packer.add(value)
    return packer.nodes


def unpack(nodes: object, classes: Mapping[str, type]) -> Any:
    """The value that `pack` was given.

    Raises:
        StoreError: it is none, or has a part of another class.
    """
    made: list[Any] = []
    try:
        assert isinstance(nodes, list)
        for kind, *parts in nodes:
            made.append(_made(kind, parts, made, classes))
        return made[-1]
    except (AssertionError, IndexError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{type(error).__name__}: {error}") from None


def _made(kind: str, parts: list[Any], made: list[Any], classes: Mapping[str, type]) -> Any:
    match kind:
        case "value":
            (value,) = parts
            return value
        case "fraction":
            return Fraction(*parts)
        case "tuple":
            return tuple(made[place] for place in parts)
        case "set":
            return frozenset(made[place] for place in parts)
        case "map":
            inside = [made[place] for place in parts]
            return dict(zip(inside[::2], inside[1::2], strict=True))
    return classes[kind](*(made[place] for place in parts))


class _Packer:
    def __init__(self) -> None:
        self.nodes: Packed = []
        self._places: dict[int, int] = {}
        self._plain: dict[tuple[type, object], int] = {}
        self._alive: list[object] = []  # an id is the object's only while it lives

    def add(self, value: object) -> int:
        if isinstance(value, str | int | float | bool | Fraction) or value is None:
            key = type(value), value
            if key not in self._plain:
                self._plain[key] = self._put(_leaf(value))
            return self._plain[key]
        if id(value) not in self._places:
            self._alive.append(value)
            self._places[id(value)] = self._put(self._node(value))
        return self._places[id(value)]

    def _put(self, node: list[Any]) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _node(self, value: object) -> list[Any]:
        if isinstance(value, tuple | list):
            return ["tuple", *self._all(value)]
        if isinstance(value, frozenset | set):
            return ["set", *self._all(sorted(value, key=repr))]
        if isinstance(value, Mapping):
            return ["map", *self._all(part for item in value.items() for part in item)]
        if isinstance(value, Struct):
            parts = [getattr(value, name) for name in value.__struct_fields__]
            return [_name(type(value)), *self._all(parts)]
        raise StoreError(f"{type(value).__name__} cannot be packed")

    def _all(self, values: Iterable[object]) -> list[int]:
        return [self.add(value) for value in values]


def _leaf(value: object) -> list[Any]:
    if isinstance(value, Fraction):
        return ["fraction", value.numerator, value.denominator]
    return ["value", value]


def _name(kind: type) -> str:
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"
