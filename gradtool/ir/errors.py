"""Errors that any layer above the representation may raise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UnsupportedError(Exception):
    """A construct that gradtool refuses: right or refused, never silently wrong.

    `line` is the 1-based line of the forward block that it stands in, 0 while nobody knows.
    """

    def __init__(self, construct: str, hint: str = "") -> None:
        self.construct = construct
        self.hint = hint
        self.line = 0
        super().__init__(construct + (f" ({hint})" if hint else ""))


class SingularError(ZeroDivisionError):
    """A division by zero in a line of the forward block."""

    def __init__(self, line: int) -> None:
        self.line = line
        super().__init__(f"division by zero in line {line}")


@contextmanager
def at_line(line: int) -> Iterator[None]:
    """What is refused in here stands in this line of the forward block."""
    try:
        yield
    except UnsupportedError as error:
        error.line = error.line or line
        raise
    except SingularError:
        raise
    except ZeroDivisionError as error:
        raise SingularError(line) from error


class TooLargeError(UnsupportedError):
    """An evaluation entry by entry would take too much memory."""
