"""How large an array probably is: sizes are symbols when code is written, but not all alike."""

from __future__ import annotations

from gradtool.emit.numpy_names import ModuleNames
from gradtool.ir.dims import Dim, total

_ORDINARY = 64
_WINDOW = 3  # a size that is subtracted from others


def volume(module: ModuleNames, shape: tuple[Dim, ...]) -> int:
    """The number of entries of an array of ordinary sizes."""
    size = total(shape)
    short, constants = module.short_sizes, module.graph.constants
    typical = {s: _WINDOW if s in short else _ORDINARY for s in size.symbols}
    typical.update({n: int(constants[n]) for n in typical if n in constants})
    return max(1, size.evaluate(typical))
