"""An order in which assignments can be run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import TypeVar

Item = TypeVar("Item")


def runnable(
    items: Iterable[Item],
    defines: Callable[[Item], str],
    reads: Callable[[Item], AbstractSet[str]],
) -> list[Item]:
    """Each after what it reads is defined, as close as possible to the given order.

    Of a circle the first stays in its place.
    """
    left = list(items)
    pending = {defines(item) for item in left}
    result: list[Item] = []
    while left:
        ready = (n for n, item in enumerate(left) if not reads(item) & pending - {defines(item)})
        item = left.pop(next(ready, 0))
        pending.discard(defines(item))
        result.append(item)
    return result
