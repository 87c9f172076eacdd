"""What NumPy took for years and refuses today, told beside its exception."""

from __future__ import annotations

_NO_NUMBER = "arrays can be converted to Python scalars"
_ONE_ENTRY = (
    " (NumPy before 2.4 took an array with one entry for a number: if this is one, write x.item())"
)


def habit(error: BaseException) -> str:
    """A hint on an exception that old code meets today; "" for all others.

    ``float(x)`` and ``a[i] = x`` of an ``x`` with one entry and an axis were deprecated by NumPy
    1.25 and ended by 2.4 (its release notes); the second raises a ValueError because of the first.
    """
    for one in (error, error.__cause__):
        if isinstance(one, TypeError) and _NO_NUMBER in str(one):
            return _ONE_ENTRY
    return ""
