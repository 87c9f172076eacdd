"""Errors that any layer above the representation may raise."""

from __future__ import annotations


class UnsupportedError(Exception):
    """A construct that gradtool refuses: right or refused, never silently wrong."""

    def __init__(self, construct: str, hint: str = "") -> None:
        self.construct = construct
        self.hint = hint
        super().__init__(construct + (f" ({hint})" if hint else ""))
