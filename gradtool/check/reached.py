"""The arrays that are reached from an object, and how each is read; in the worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from gradtool.check.words import split

OBJECT = "layer"
"""The name of an object in the snippets that are made for it."""

MOST_ARRAYS = 200
_DEPTH = 4
_ASKED_FOR = frozenset({"get", "grad", "grads", "gradient", "gradients"})


def arrays_of(thing: object) -> dict[str, np.ndarray]:
    """Copies of the arrays and numbers that are reached from an object, by how they are read.

    Beside its attributes these are its properties, and what its methods such as ``get_grads()``
    give; what raises is passed over.
    """
    found: dict[str, np.ndarray] = {}
    _gather(OBJECT, thing, found, set(), 0)
    return found


def _gather(
    path: str, thing: object, found: dict[str, np.ndarray], seen: set[int], depth: int
) -> None:
    if len(found) >= MOST_ARRAYS or depth > _DEPTH:
        return
    if isinstance(thing, np.ndarray | float | np.floating):
        array = np.asarray(thing)
        if array.dtype.kind in "fiu":
            found[path] = array.copy()
        return
    if id(thing) in seen:
        return
    seen.add(id(thing))
    for step, value in _parts(thing):
        _gather(f"{path}{step}", value, found, seen, depth + 1)


def _parts(thing: object) -> Iterator[tuple[str, object]]:
    """What an object consists of, each with the text that reads it."""
    if isinstance(thing, dict):
        yield from ((f"[{k!r}]", v) for k, v in thing.items() if isinstance(k, str | int))
    elif isinstance(thing, tuple) and hasattr(thing, "_fields"):  # its names tell more
        yield from ((f".{name}", getattr(thing, name)) for name in thing._fields)
    elif isinstance(thing, list | tuple):
        yield from ((f"[{place}]", value) for place, value in enumerate(thing))
    elif not isinstance(thing, type) and isinstance(getattr(thing, "__dict__", None), dict):
        yield from ((f".{name}", value) for name, value in vars(thing).items())
        for kind in type(thing).__mro__[:-1]:
            for name, value in vars(kind).items():
                if isinstance(value, property):
                    yield from _tried(f".{name}", partial(getattr, thing, name))
                elif callable(value) and _ASKED_FOR.issuperset(split(name)):
                    yield from _tried(f".{name}()", partial(_called, thing, name))


def _called(thing: object, name: str) -> object:
    return getattr(thing, name)()


def _tried(step: str, read: Callable[[], Any]) -> Iterator[tuple[str, object]]:
    try:
        yield step, read()
    except Exception:
        return


def changed(
    before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]
) -> list[list[object]]:
    """How each is read that is new or has other numbers, with its shape."""
    return [
        [path, list(array.shape)]
        for path, array in after.items()
        if path not in before or not np.array_equal(before[path], array, equal_nan=True)
    ]
