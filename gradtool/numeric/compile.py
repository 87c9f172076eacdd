"""Emitted modules made callable in this process.

Only text that `gradtool.emit` wrote is executed, never a user's: the forward text of a spec has
been parsed, lowered and printed again before it arrives here.
"""

from __future__ import annotations

import importlib.util
import inspect
import linecache
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from gradtool.emit.numpy_module import module_text
from gradtool.spec.model import LayerSpec

if TYPE_CHECKING:
    from gradtool.derive.derivation import Derivation


@dataclass(frozen=True, slots=True)
class Compiled:
    """The functions of an emitted module, and its text.

    Attributes:
        forward: ``forward(*variables, **constants) -> (outputs, cache)``.
        backward: ``backward(upstream, cache) -> Gradients``.
        sizes: the sizes that `forward` wants by keyword, because no shape tells them.
    """

    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[[Any, Any], Any]
    text: str
    sizes: tuple[str, ...]


def compiled(text: str) -> Compiled:
    """Execute the text of an emitted module."""
    # A name that is unique for the text lets tracebacks show its lines.
    file = f"<gradtool {sha256(text.encode()).hexdigest()[:12]}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    namespace: dict[str, Any] = {"__name__": "gradtool_emitted"}
    exec(compile(text, file, "exec"), namespace)
    forward = namespace["forward"]
    named = inspect.signature(forward).parameters.values()
    sizes = tuple(p.name for p in named if p.kind is p.KEYWORD_ONLY and p.default is p.empty)
    return Compiled(forward, namespace["backward"], text, sizes)


def compile_layer(spec: LayerSpec, derivation: Derivation) -> Compiled:
    """The NumPy module of a layer, ready to call; SciPy is used only when it is installed.

    Raises:
        UnsupportedError: a word that has no NumPy text.
    """
    erf = "scipy" if importlib.util.find_spec("scipy") is not None else "math"
    return compiled(module_text(spec, derivation, erf=erf))
