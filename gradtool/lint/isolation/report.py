"""What the zygote's side tells the judge about a job, on the lifeline: JSON of known fields."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from gradtool.lint.isolation.status import Exit, LayerStatus
from gradtool.records import DecodeError, Decoder, Encoder, Struct

MOST_BYTES = 1 << 20


class Locked(Struct, frozen=True):
    """Sent by the worker before it calls the entry, so before any untrusted code runs.

    Attributes:
        pid: of the worker, as the judge's system sees it.
        layers: what is in force.
        refused: what is unguarded although the sandbox was required; then it has ended.
    """

    pid: int
    layers: tuple[LayerStatus, ...]
    refused: tuple[str, ...]


def layers_to_bytes(layers: Iterable[LayerStatus], refused: Iterable[str]) -> bytes:
    """What `locked_to_bytes` takes, as JSON: the same for nearly all workers of a run."""
    told = [[layer.name, layer.active, layer.reason, sorted(layer.guards)] for layer in layers]
    return json.dumps({"layers": told, "refused": list(refused)}).encode()


def locked_to_bytes(pid: int, layers: bytes) -> bytes:
    """The number of the process on a line of its own, then JSON."""
    return f"{pid}\n".encode() + layers


def ended_to_bytes(ended: Exit) -> bytes:
    """As JSON, on one line."""
    return _ENCODER.encode(ended)


def parse(data: bytes) -> Locked | Exit:
    """Either message.

    Raises:
        ValueError: it is neither.
    """
    pid, line, layers = data.partition(b"\n")
    try:
        return Locked(int(pid), *_layers(layers)) if line else _EXITS.decode(data)
    except (DecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a message about a job") from error


_ENCODER, _EXITS = Encoder(), Decoder(Exit)


@lru_cache(maxsize=16)
def _layers(data: bytes) -> tuple[tuple[LayerStatus, ...], tuple[str, ...]]:
    read: dict[str, Any] = json.loads(data)
    layers = tuple(
        LayerStatus(str(name), bool(active), str(reason), frozenset(map(str, guards)))
        for name, active, reason, guards in read["layers"]
    )
    return layers, tuple(map(str, read["refused"]))
