"""Length-capped frames of bytes between processes that do not trust each other.

A frame is eight bytes of little-endian length and that many bytes. Nothing in it is ever
unpickled, unmarshalled, evaluated or given to `numpy.load`; a reader states the most that it
accepts before it reads, so a length that lies costs nothing.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterable, Sequence

HEADER = 8
CHUNK = 1 << 20
_TOGETHER = 64  # parts of one call; systems take some hundreds


class FrameError(Exception):
    """The other side did not keep to the format, or is gone."""


class FrameEnded(FrameError):
    """The stream ended where a frame, or the rest of one, should be."""


class FrameTooLong(FrameError):
    """A frame announced more bytes than the reader accepts."""


class FrameTimeout(FrameError):
    """The deadline passed first."""


Wait = Callable[[int, bool], None]
"""Wait until a descriptor can be read (False) or written (True); raises to give up."""


def header(length: int) -> bytes:
    """The eight bytes before a frame of that length."""
    return length.to_bytes(HEADER, "little")


def length_of(head: bytes, most: int) -> int:
    """The length that a header announces.

    Raises:
        FrameTooLong: more than `most`.
    """
    length = int.from_bytes(head, "little")
    if length > most:
        raise FrameTooLong(f"a frame of {length} bytes, expected at most {most}")
    return length


def read_exactly(fd: int, count: int, wait: Wait | None = None) -> bytes:
    """`count` bytes from a descriptor, which is non-blocking where there is a `wait`.

    The buffer grows with what arrives, so memory is spent only on bytes that exist.

    Raises:
        FrameEnded: the stream ended first.
    """
    parts: list[bytes] = []
    missing = count
    while missing:
        try:
            part = os.read(fd, min(CHUNK, missing))
        except BlockingIOError:
            if wait is None:
                raise
            wait(fd, False)
            continue
        except ConnectionResetError:
            part = b""
        if not part:
            raise FrameEnded(f"the stream ended after {count - missing} of {count} bytes")
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_frame(fd: int, most: int, wait: Wait | None = None) -> bytes:
    """The next frame, of at most `most` bytes.

    Raises:
        FrameEnded, FrameTooLong: see there; whatever `wait` raises passes through.
    """
    return read_exactly(fd, length_of(read_exactly(fd, HEADER, wait), most), wait)


def write_frame(fd: int, payload: bytes, wait: Wait | None = None) -> None:
    """Write one frame; see `write_frames`."""
    write_frames(fd, (payload,), wait)


def write_parts(fd: int, parts: Sequence[bytes], wait: Wait | None = None) -> None:
    """Write one frame whose payload are these parts, without a copy of all of it."""
    _write(fd, [header(sum(map(len, parts))), *parts], wait)


def write_frames(fd: int, payloads: Iterable[bytes], wait: Wait | None = None) -> None:
    """Write frames to a descriptor, which is non-blocking where there is a `wait`.

    They go out together as far as they can: whoever reads is woken once, not at every header.

    Raises:
        FrameEnded: nobody reads any more.
    """
    _write(fd, [part for one in payloads for part in (header(len(one)), one)], wait)


def _write(fd: int, parts: Sequence[bytes], wait: Wait | None) -> None:
    views = [
        memoryview(part)[at : at + CHUNK] for part in parts for at in range(0, len(part), CHUNK)
    ]
    first = 0
    while first < len(views):
        try:
            written = os.writev(fd, views[first : first + _TOGETHER])
        except BlockingIOError:
            if wait is None:
                raise
            wait(fd, True)
            continue
        except (BrokenPipeError, ConnectionResetError) as error:
            raise FrameEnded("the reader is gone") from error
        while first < len(views) and written >= len(views[first]):
            written -= len(views[first])
            first += 1
        if written:
            views[first] = views[first][written:]


def until(deadline: float) -> Wait:
    """A wait that gives up when `time.monotonic()` passes the deadline.

    Raises (when called):
        FrameTimeout: the deadline passed.
    """

    def wait(fd: int, writing: bool) -> None:
        left = deadline - time.monotonic()
        poll = select.poll()
        poll.register(fd, select.POLLOUT if writing else select.POLLIN)
        if left <= 0 or not poll.poll(left * 1000):
            raise FrameTimeout("no progress before the deadline")

    return wait
