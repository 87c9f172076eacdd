"""A refusal of the engine as an error with a place in the spec."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gradtool.spec.errors import SpecError, UnsupportedError
from gradtool.spec.model import LayerSpec


@contextmanager
def located(spec: LayerSpec) -> Iterator[None]:
    """Point to the line of the forward pass that is refused, or to its first one.

    Raises:
        SpecError: in the place of an UnsupportedError.
    """
    try:
        yield
    except UnsupportedError as error:
        lines = spec.forward.text.split("\n")
        row = min(max(error.line - 1, 0), len(lines) - 1)
        if not error.line:
            row = next((k for k, text in enumerate(lines) if text.strip()), 0)
        text = lines[row]
        start = len(text) - len(text.lstrip())
        problem = spec.source.problem(
            spec.forward.at(row, start),
            f"not supported: {error.construct}",
            error.hint,
            max(1, len(text.strip())),
        )
        raise SpecError([problem]) from error
