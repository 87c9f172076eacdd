"""A value of an immutable object that is computed when it is first asked for.

Like `functools.cached_property`, without the lock that it takes on every first access before
Python 3.12: the normal form asks for hundreds of thousands of keys.  Two threads may compute the
same value twice, which harms nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    lazy = property  # what a reader of the attribute sees
else:

    class lazy:
        """Decorates a method without arguments; the object must have a ``__dict__``."""

        def __init__(self, compute: Callable[[Any], Any]) -> None:
            self.compute = compute
            self.__doc__ = compute.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self.name = name

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            # An entry of the object's own dictionary is found before this descriptor again.
            value = instance.__dict__[self.name] = self.compute(instance)
            return value
