"""What need not be worked out twice when many files are checked against one reference.

A class is asked at the same points, and most of it gives the same answers, bit for bit.  What
is kept depends on the key alone, so that nobody can tell, but for the time, that it was kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

T = TypeVar("T")


class Recall:
    """Values by key, up to a number of bytes; may be used by several threads.

    A key may hold the `id` of an object only together with that object in `holding`: what is
    kept keeps it alive, so that no other one can get its number.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._kept: dict[Hashable, tuple[object, object]] = {}
        self._ids: frozenset[int] = frozenset()
        self._making: dict[Hashable, threading.Event] = {}
        self._lock = threading.Lock()

    def of(
        self, key: Hashable, make: Callable[[], T], *, holding: object = None, size: int = 0
    ) -> T:
        """The value of a key: kept, or made now. `size` is roughly its number of bytes.

        Where another thread makes it already, what that comes to is waited for: the first
        submissions of a class are graded at the same time, and ask for all that is kept later.
        """
        found = self._kept.get(key)
        if found is not None:
            return cast(T, found[0])
        if not self._most:
            return make()
        with self._lock:
            other = self._making.get(key)
            if other is None:
                self._making[key] = threading.Event()
        if other is not None:
            other.wait()
            found = self._kept.get(key)
            # It may have raised, or be too large to be kept.
            return make() if found is None else cast(T, found[0])
        try:
            return self._made(key, make, holding, size)
        finally:
            with self._lock:
                self._making.pop(key).set()

    def _made(self, key: Hashable, make: Callable[[], T], holding: object, size: int) -> T:
        made = make()
        with self._lock:
            self._bytes += size + _OVERHEAD
            if self._bytes > self._most:
                self._kept, self._ids = {}, frozenset()
                self._bytes = size + _OVERHEAD
            if self._bytes <= self._most:
                # The first to come stays: its identity may be part of other keys.
                made = cast(T, self._kept.setdefault(key, (made, holding))[0])
                self._ids |= set(map(id, made)) if isinstance(made, tuple) else {id(made)}
        return made

    def made_of(
        self,
        one: object,
        key: tuple[Hashable, ...],
        make: Callable[[], T],
        *,
        alone: bool = True,
        size: int = 0,
    ) -> T:
        """What is made of one object: kept beside it, where that is kept, and made now elsewhere.

        Only where it is made of this object and the key `alone`, and of nothing that a file gave.
        """
        if not alone or not self.keeps(one):
            return make()
        return self.of((*key, id(one)), make, holding=one, size=size)

    def keeps(self, value: object) -> bool:
        """Whether this very object is a value that is kept, or in a tuple that is."""
        return id(value) in self._ids


_OVERHEAD = 1000  # bytes of a key and of small objects

NOTHING = Recall(0)
"""For a single check: it keeps nothing."""


def recall_of(reference: object) -> Recall:
    """What belongs to a reference that remembers; `NOTHING` for all others."""
    found = getattr(reference, "recall", NOTHING)
    return found if isinstance(found, Recall) else NOTHING
