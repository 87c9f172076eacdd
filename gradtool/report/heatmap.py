"""The error of every entry as a small picture of characters, for causes that are not known."""

from __future__ import annotations

import math

from gradtool.check.result import Heat
from gradtool.ir.dims import sizes_text

_SHADES = " ░▒▓█"  # right, then by decades of the largest error
_WIDEST = 60


def lines(heat: Heat, width: int | None = None) -> list[str]:
    """One line for each row: blank where an entry is right, darker the further it is out.

    What does not fit into `width` is not shown.
    """
    most = _WIDEST if width is None else max(1, min(_WIDEST, (width - 2) // 2))
    largest = max((v for row in heat.rows for v in row if math.isfinite(v)), default=1.0)
    sizes = sizes_text(dict(heat.sizes))
    shown = [
        "│" + "".join(_shade(value, largest) * 2 for value in row[:most]) + "│" for row in heat.rows
    ]
    return [f"errors at {sizes} (blank is right, darker is worse):", *shown]


def _shade(value: float, largest: float) -> str:
    if not math.isfinite(value):
        return _SHADES[-1]
    if value <= 1.0:
        return _SHADES[0]
    decades = math.log10(largest / value) if value else math.inf
    return _SHADES[max(1, len(_SHADES) - 1 - int(decades))]
