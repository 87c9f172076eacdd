"""What was enforced, and how a job ended: plain data for the report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from gradtool.records import Struct

Guard = Literal[
    "memory", "cpu", "privileges", "files-read", "files-write", "network", "processes", "signals"
]
"""One thing that a submission must not do; a sandbox is complete when each has an active layer."""

GUARDS: frozenset[str] = frozenset(get_args(Guard))

ExitKind = Literal["exited", "signalled", "timeout", "cpu", "memory", "killed", "refused", "lost"]


class LayerStatus(Struct, frozen=True):
    """One layer of the sandbox in one worker.

    Attributes:
        name: of the layer.
        active: it was applied and then seen to refuse what it forbids.
        reason: why not, or what part of it this host does not have; "" when all is there.
        guards: what it guards when active.
    """

    name: str
    active: bool
    reason: str
    guards: frozenset[str] = frozenset()

    def __str__(self) -> str:
        state = "active" if self.active else "inactive"
        return f"{self.name}: {state}" + (f" ({self.reason})" if self.reason else "")


class Exit(Struct, frozen=True):
    """How a job ended; by then every process that it started is dead.

    Attributes:
        kind: "exited" (by itself, any code), "signalled", "timeout" (wall clock), "cpu",
            "memory", "killed" (by the judge), "refused" (a required layer was missing, so the
            entry was never called), "lost" (its supervisor vanished: nothing is known, and the
            zygote should be replaced).
        detail: one sentence for people.
        code: exit code for "exited", signal number for "signalled", else 0. It proves nothing.
        cpu_seconds, peak_bytes, wall_seconds: what was used, 0 when unknown.
    """

    kind: ExitKind
    detail: str
    code: int = 0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    wall_seconds: float = 0.0


def unguarded(layers: Iterable[LayerStatus]) -> tuple[str, ...]:
    """What no active layer guards, sorted; empty means that the sandbox is complete."""
    guarded = frozenset[str]().union(*(layer.guards for layer in layers if layer.active))
    return tuple(sorted(GUARDS - guarded))
