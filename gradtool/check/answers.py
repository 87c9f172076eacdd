"""What a worker's answer says; nothing in it is believed but numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradtool.check.convert import Value
from gradtool.check.frames import Frame
from gradtool.check.result import Trouble
from gradtool.records import Struct

_MOST_SECONDS = 1e6
_TEXT = 500  # characters kept of any text that a worker sends


class Run(Struct, frozen=True):
    """What one evaluation gave: raw values by name, and the exception that ended it early.

    `raw` are the bytes of the answer where others are expected to give the same, else nothing.
    `seconds` is how long the code took as the worker says, 0 where that is hardly any time.
    `unlike` are gradients that a second backward after the same forward gives otherwise.
    """

    outputs: Mapping[str, Value]
    gradients: Mapping[str, Value]
    mutated: tuple[str, ...]
    aliased: tuple[tuple[str, str], ...]
    trouble: Trouble | None
    raw: bytes = b""
    seconds: float = 0.0
    unlike: tuple[str, ...] = ()


def read_run(reply: Frame) -> Run:
    """The values of one evaluation."""
    values = reply.header.get("values")
    outputs: dict[str, Value] = {}
    gradients: dict[str, Value] = {}
    for key, described in values.items() if isinstance(values, dict) else ():
        role, _, name = key.partition(" ")
        value = _value(described, reply.arrays.get(key))
        (outputs if role == "output" else gradients)[name] = value
    pairs = reply.header.get("aliased")
    aliased = [
        (clean(pair[0]), clean(pair[1]))
        for pair in (pairs if isinstance(pairs, list) else [])
        if isinstance(pair, list) and len(pair) == 2
    ]
    mutated = tuple(texts(reply.header.get("mutated")))
    trouble, seconds = trouble_of(reply.header), _seconds(reply.header.get("seconds"))
    unlike = tuple(texts(reply.header.get("unlike")))
    return Run(outputs, gradients, mutated, tuple(aliased), trouble, reply.raw, seconds, unlike)


def _seconds(said: object) -> float:
    return float(said) if isinstance(said, int | float) and 0 <= said < _MOST_SECONDS else 0.0


def clean(text: object) -> str:
    """Text of a worker's, short and without control characters, fit for a terminal."""
    kept = str(text)[:_TEXT]
    if kept.isprintable():
        return kept
    return "".join(c if c.isprintable() or c == " " else repr(c)[1:-1] for c in kept)


def texts(data: object) -> list[str]:
    """A list of short texts; none where it is no list."""
    return [clean(item) for item in data[:5000]] if isinstance(data, list) else []


def _value(described: object, array: np.ndarray | None) -> Value:
    match described:
        case [str(kind), str(dtype), list(shape), str(detail)]:
            if kind == "array" and array is None:
                kind = "object"
            sizes = tuple(size for size in shape if isinstance(size, int))
            return Value(clean(kind), clean(dtype), sizes, array, clean(detail))
    return Value("object", detail="a malformed answer")


def trouble_of(header: Mapping[str, Any]) -> Trouble | None:
    error = header.get("error")
    if not isinstance(error, dict):
        return None
    message = clean(error.get("message", ""))
    kind = clean(error.get("type", ""))
    line = error.get("line")
    return Trouble(
        clean(error.get("stage", "worker")),
        f"{kind}: {message}" if kind and message else kind or message,
        clean(error.get("place", "")),
        line if isinstance(line, int) else 0,
        clean(error.get("source", "")),
    )
