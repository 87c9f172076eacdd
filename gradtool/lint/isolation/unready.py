"""Why an interpreter cannot fork workers: what it tells the judge, in a line where one will do."""

from __future__ import annotations

import errno
import json
import resource
from traceback import extract_tb, format_exception

from gradtool.lint.isolation.layers.base import LOWEST_DESCRIPTOR
from gradtool.records import Struct, asdict


class LibraryRaised(Exception):
    """A library that submissions may import cannot be imported itself."""

    def __init__(self, library: str, error: str) -> None:
        super().__init__(library, error)
        self.library = library
        self.error = error

    def __str__(self) -> str:
        return f"{self.library} cannot be imported: {self.error}"


class Unready(Struct, frozen=True):
    """What went wrong.

    Attributes:
        error: in a line.
        library: whose import it was, or "".
        trace: how it came to it, where that is neither a library's nor the system's doing.
    """

    error: str
    library: str = ""
    trace: str = ""

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def from_bytes(data: bytes) -> Unready:
        """The inverse of `to_bytes`."""
        read = json.loads(data)
        return Unready(str(read["error"]), str(read["library"]), str(read["trace"]))


def unready(error: BaseException) -> Unready:
    """What is told of an exception."""
    match error:
        case LibraryRaised():
            return Unready(error.error, error.library)
        case OSError(strerror=str(text), errno=number):
            allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            beyond = number == errno.EINVAL and allowed <= LOWEST_DESCRIPTOR
            if number == errno.EMFILE or beyond:
                text = f"it needs more than {allowed} open files; allow more: ulimit -n 1024"
            return Unready(text)
    return Unready(in_a_line(error), trace="".join(format_exception(error)).rstrip())


def in_a_line(error: BaseException) -> str:
    """An exception, with the line that it comes from."""
    place = ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" ({error.filename} line {error.lineno})"
        text = str(error.msg)
    else:
        frames = extract_tb(error.__traceback__)
        if frames:
            place = f" ({frames[-1].filename} line {frames[-1].lineno})"
        text = " ".join(str(error).split())
    return f"{type(error).__name__}{f': {text}' if text else ''}{place}"
