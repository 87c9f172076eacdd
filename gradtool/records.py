"""Records, whose classes are made in 10 µs where a dataclass takes 420: a command has a hundred.

They are those of msgspec; with ``dict=True`` where values are computed when they are first asked
for, which a copy by `replace` does not take along.

msgspec takes `typing_extensions` where that is installed, for kinds of annotation that no class of
ours has; to import that takes as long as all the rest of msgspec.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def _absent(name: str) -> Iterator[None]:
    """To what is imported in this block that module is not installed, if nobody has it yet."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # an import of it raises
    try:
        yield
    finally:
        del sys.modules[name]


with _absent("typing_extensions"), suppress(ImportError):  # a later msgspec may insist on it
    import msgspec  # noqa: F401

from msgspec import (  # noqa: E402
    DecodeError,
    Struct,
    ValidationError,
    convert,
    field,
    to_builtins,
)
from msgspec.json import Decoder, Encoder  # noqa: E402
from msgspec.structs import asdict, astuple, replace  # noqa: E402


class Own(Struct, frozen=True, eq=False):
    """A record that says itself, by `__eq__`, what equals it.

    Where any other class would ask that for ``!=``, a Struct compares identities.
    """

    def __ne__(self, other: object) -> bool:
        return not self == other


__all__ = [
    "DecodeError",
    "Decoder",
    "Encoder",
    "Own",
    "Struct",
    "ValidationError",
    "asdict",
    "astuple",
    "convert",
    "field",
    "replace",
    "to_builtins",
]
