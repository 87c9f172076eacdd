"""What the zygote's side tells the judge about a job, on the lifeline: JSON of known fields."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, get_args

from gradtool.lint.isolation.status import Exit, ExitKind, LayerStatus

MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Locked:
    """Sent by the worker before it calls the entry, so before any untrusted code runs.

    Attributes:
        pid: of the worker, as the judge's system sees it.
        layers: what is in force.
        refused: what is unguarded although the sandbox was required; then it has ended.
    """

    pid: int
    layers: tuple[LayerStatus, ...]
    refused: tuple[str, ...]


def locked_to_bytes(locked: Locked) -> bytes:
    """As JSON."""
    layers = [
        [layer.name, layer.active, layer.reason, sorted(layer.guards)] for layer in locked.layers
    ]
    data = {"pid": locked.pid, "layers": layers, "refused": locked.refused}
    return json.dumps({"locked": data}).encode()


def ended_to_bytes(ended: Exit) -> bytes:
    """As JSON."""
    return json.dumps({"ended": asdict(ended)}).encode()


def parse(data: bytes) -> Locked | Exit:
    """Either message.

    Raises:
        ValueError: it is neither.
    """
    try:
        read: dict[str, Any] = json.loads(data)
        if "locked" in read:
            found = read["locked"]
            layers = tuple(
                LayerStatus(str(name), bool(active), str(reason), frozenset(map(str, guards)))
                for name, active, reason, guards in found["layers"]
            )
            return Locked(int(found["pid"]), layers, tuple(map(str, found["refused"])))
        ended = Exit(**read["ended"])
        if ended.kind not in get_args(ExitKind):
            raise ValueError(f"unknown kind of exit {ended.kind!r}")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a message about a job") from error
    return ended
