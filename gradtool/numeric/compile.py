"""Emitted modules made callable in this process.

Only text that `gradtool.emit` wrote is executed, never a user's: the forward text of a spec has
been parsed, lowered and printed again before it arrives here.
"""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from gradtool.records import Struct


class Compiled(Struct, frozen=True):
    """The functions of an emitted module, and its text.

    Attributes:
        forward: ``forward(*variables, **constants) -> (outputs, cache)``.
        backward: ``backward(upstream, cache) -> Gradients``; `line_by_line` takes more.
        sizes: the sizes that `forward` wants by keyword, because no shape tells them.
        constants: the constants of the spec, which it takes by keyword.
    """

    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[..., Any]
    text: str
    sizes: tuple[str, ...]
    constants: tuple[str, ...]


def namespace_of(text: str) -> dict[str, Any]:
    """Execute the text of an emitted module: its names."""
    # A name that is unique for the text lets tracebacks show its lines.
    file = f"<gradtool {sha256(text.encode()).hexdigest()[:12]}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    namespace: dict[str, Any] = {"__name__": "gradtool_emitted"}
    exec(compile(text, file, "exec"), namespace)
    return namespace


def compiled(text: str) -> Compiled:
    """Execute the text of an emitted module with ``forward`` and ``backward``."""
    namespace = namespace_of(text)
    forward = namespace["forward"]
    named = [p for p in inspect.signature(forward).parameters.values() if p.kind is p.KEYWORD_ONLY]
    sizes = tuple(p.name for p in named if p.default is p.empty)
    constants = tuple(p.name for p in named if p.default is not p.empty)
    return Compiled(forward, namespace["backward"], text, sizes, constants)
