"""A request that cannot be met as it was typed; the mistake is on the command line."""

from __future__ import annotations


class UsageError(Exception):
    """What was expected and found on the command line, and what to do next.

    A `SpecError` has a line in a file to point at; this one has none: an unknown bundled name,
    ``--wrt`` with a name that the spec does not have, a value of ``--at`` of the wrong shape.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(message + (f"\n{hint}" if hint else ""))
