"""What a snippet left behind, as a float64 array and a word on what it was."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

_FLOAT64 = np.dtype(np.float64)
_NUMBERS = (float, int, list, tuple)


class Value(NamedTuple):
    """`kind` is "array", or why there is none: none, text, ragged, object, complex, large."""

    kind: str
    dtype: str = ""
    shape: tuple[int, ...] = ()
    array: np.ndarray | None = None
    detail: str = ""


def convert(value: Any, max_bytes: int, keep_complex: bool = False) -> Value:
    """An array of what a user's code calls a gradient.

    A complex array is none, unless `keep_complex`: for steps into the complex plane.

    Lists, Python scalars, masked arrays (masked entries are zero) and anything with
    ``__array__`` are converted; a tensor that is attached to a graph is detached.
    """
    if value is None:
        return Value("none")
    if type(value) is np.ndarray and value.dtype == _FLOAT64 and value.size * 8 <= max_bytes:
        return Value("array", "float64", value.shape, np.array(value, order="C"))  # as nearly all
    try:
        raw = np.asarray(_plain(value))
    except ValueError:
        return Value("ragged", detail=type(value).__name__)
    except Exception as error:
        return Value("object", detail=f"{type(value).__name__}: {type(error).__name__}")
    if raw.dtype.kind in "US":
        return Value("text", detail=repr(value)[:80])
    if raw.dtype.kind == "O":
        try:
            raw = raw.astype(np.float64)
        except Exception:
            return Value("object", detail=type(value).__name__)
    if raw.dtype.kind == "c":
        kept = keep_complex and raw.size * 16 <= max_bytes
        array = np.array(raw, dtype=np.complex128, order="C") if kept else None
        return Value("complex", str(raw.dtype), raw.shape, array)
    if raw.dtype.kind not in "fiub":
        return Value("object", str(raw.dtype), raw.shape, detail=str(raw.dtype))
    if raw.size * 8 > max_bytes:
        return Value("large", str(raw.dtype), raw.shape)
    dtype = _name(raw.dtype)
    return Value("array", dtype, raw.shape, np.array(raw, dtype=np.float64, order="C"))


_name = lru_cache(maxsize=64)(str)  # NumPy puts the name of a dtype together anew each time


def _plain(value: Any) -> Any:
    if type(value) is np.ndarray or isinstance(value, _NUMBERS):
        return value
    if isinstance(value, np.ndarray):  # of a class of its own
        # `np.ma` is imported by its first use, which takes longer than most checks.
        return value.filled(0) if isinstance(value, np.ma.MaskedArray) else value
    for method in ("detach", "cpu", "toarray"):  # tensors, then sparse matrices
        if callable(getattr(value, method, None)):
            value = getattr(value, method)()
    return value
