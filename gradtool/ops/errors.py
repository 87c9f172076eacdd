"""What a word of the vocabulary says when it cannot be applied."""

from __future__ import annotations

from gradtool.ir.tree import Span


class OpError(Exception):
    """A wrong use of an operation: what was expected, what was found, what to do.

    Attributes:
        span: the part of the text that is wrong; filled in by the caller when unknown.
        near: ("name" | "function", text) when a near miss should be suggested.
    """

    def __init__(
        self,
        message: str,
        span: Span | None = None,
        hint: str = "",
        near: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.span = span
        self.hint = hint
        self.near = near

    def at(self, span: Span | None) -> OpError:
        """The same error, placed at `span` unless it knows better."""
        if self.span is None:
            self.span = span
        return self
