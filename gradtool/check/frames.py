"""The wire between judge and worker: a small JSON header and raw array bytes, every size capped.

One frame is ``magic, header length, payload length, header, payload``.  Nothing that arrives is
ever executed or unpickled: the header is JSON, and an array is a name, a dtype out of a fixed
table, a shape and its bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from gradtool.records import Decoder, Encoder, Struct

if TYPE_CHECKING:
    import numpy as np

PREFIX = struct.Struct("<4sIQ")
MAGIC = b"GT01"
MAX_HEADER = 4 << 20  # bytes; the longest honest header is an inventory of a large file
MAX_ARRAYS = 512
MAX_RANK = 32
DTYPES = {"<f8": 8, "<i8": 8, "|b1": 1, "<c16": 16}


class FrameError(Exception):
    """Bytes that are no frame, or one that is larger than was agreed."""


class Frame(Struct, frozen=True):
    """A message: JSON values and named arrays (float64, int64, bool or complex128, C order).

    `raw` are its bytes where the same message is expected again, else nothing.
    """

    header: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    raw: bytes = b""


def encode(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of a frame.  Arrays must have a dtype of `DTYPES`."""
    table, chunks, size = [], [], 0
    for name, array in arrays.items():
        dtype = array.dtype
        kind = _known.get(dtype) or _known.setdefault(dtype, _wire_dtype(dtype))
        table.append((name, kind, array.shape))
        chunk = array.astype(kind, order="C", copy=False)
        chunks.append(chunk.data)
        size += chunk.nbytes
    text = _json_of({**header, "arrays": table})
    # The arrays as they lie in memory: each is copied once.
    return b"".join((PREFIX.pack(MAGIC, len(text), size), text, *chunks))


def _json_of(value: object) -> bytes:
    try:
        text = _FAST.encode(value)
    except (TypeError, UnicodeEncodeError):  # half of a surrogate pair, in a text of the user's
        return _ENCODER.encode(value).encode()
    # It has no infinity and no nan, and writes null instead of them.
    return _ENCODER.encode(value).encode() if b"null" in text else text


_FAST = Encoder()
_ENCODER = json.JSONEncoder(check_circular=False)
_DECODER = Decoder()
_known: dict[np.dtype[Any], str] = {}  # few types come


def prefix(data: bytes, max_payload: int, start: int = 0) -> tuple[int, int]:
    """The lengths of header and payload of the frame that starts there.

    Raises:
        FrameError: the first bytes are no frame's, or announce more than the caps.
    """
    magic, header, payload = PREFIX.unpack_from(data, start)
    if magic != MAGIC:
        raise FrameError("the bytes are not a frame")
    if header > MAX_HEADER or payload > max_payload:
        raise FrameError(f"a frame of {header} + {payload} bytes is larger than agreed")
    return header, payload


def decode(text: bytes, payload: bytes | memoryview) -> Frame:
    """A frame from its two parts.

    Raises:
        FrameError: header and payload do not fit each other.
    """
    import numpy as np

    header = _header(text)
    if not isinstance(header, dict):
        raise FrameError("the header is not an object")
    table = header.pop("arrays", [])
    if not isinstance(table, list) or len(table) > MAX_ARRAYS:
        raise FrameError("the table of arrays is malformed")
    arrays: dict[str, np.ndarray] = {}
    offset = 0
    for row in table:
        name, kind, shape = _checked_row(row)
        count = prod(shape)
        if offset + count * DTYPES[kind] > len(payload):
            raise FrameError(f"{name} announces more bytes than were sent")
        flat = np.frombuffer(payload, dtype=kind, count=count, offset=offset)
        arrays[name] = flat.reshape(shape)
        offset += count * DTYPES[kind]
    if offset != len(payload):
        raise FrameError("bytes are left over after the last array")
    return Frame(header, arrays)


def _header(text: bytes) -> object:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        pass  # an infinity, a nan or half of a surrogate pair
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrameError("the header is not JSON") from error


def whole(data: bytes, max_payload: int) -> Frame:
    """A frame that arrived in one piece.

    Raises:
        FrameError: it is none, or larger than agreed, or has bytes left over.
    """
    if len(data) < PREFIX.size:
        raise FrameError("the bytes are not a frame")
    header, payload = prefix(data, max_payload)
    if len(data) != PREFIX.size + header + payload:
        raise FrameError("the announced lengths do not fit the bytes")
    middle = PREFIX.size + header
    return decode(data[PREFIX.size : middle], memoryview(data)[middle:])


def several(data: bytes) -> tuple[bytes, ...]:
    """The frames in a row of them, unread.

    Raises:
        FrameError: the lengths that they announce do not fit the bytes.
    """
    found, start, size = [], 0, len(data)
    while start < size:
        if size - start < PREFIX.size:
            raise FrameError("the bytes are not a frame")
        header, payload = prefix(data, size, start)
        end = start + PREFIX.size + header + payload
        if end > size:
            raise FrameError("a frame announces more bytes than were sent")
        found.append(data[start:end])
        start = end
    return tuple(found)


def read_frame(read: Callable[[int], bytes], max_payload: int) -> Frame | None:
    """The next frame through `read` (exactly n bytes, fewer at the end); None at the end."""
    head = read(PREFIX.size)
    if len(head) < PREFIX.size:
        return None
    header, payload = prefix(head, max_payload)
    text, data = read(header), read(payload)
    if len(text) < header or len(data) < payload:
        return None
    return decode(text, data)


def _checked_row(row: object) -> tuple[str, str, tuple[int, ...]]:
    match row:
        case [str(name), str(kind), list(shape)] if kind in DTYPES and len(shape) <= MAX_RANK:
            if all(type(size) is int and 0 <= size < 1 << 40 for size in shape):
                return name, kind, tuple(shape)
    raise FrameError("the description of an array is malformed")


def _wire_dtype(dtype: np.dtype[Any]) -> str:
    kinds: Sequence[tuple[str, str]] = (("f", "<f8"), ("iu", "<i8"), ("b", "|b1"), ("c", "<c16"))
    for letters, kind in kinds:
        if dtype.kind in letters:
            return kind
    raise TypeError(f"an array of {dtype} cannot be sent")
