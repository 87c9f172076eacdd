"""Private folders, one for each submission that is graded at the same time.

Each has a name that none can guess, and is all that a worker may read of the submissions.  One is
used again when it is empty: to grant the same folder costs the sandbox next to nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Rooms:
    """A context manager; leaving it removes them all.  It may be used by several threads."""

    def __init__(self) -> None:
        self._free: list[Path] = []
        self._all: list[Path] = []
        self._lock = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[Path]:
        """An empty room."""
        with self._lock:
            room = self._free.pop() if self._free else None
        if room is None:
            room = Path(tempfile.mkdtemp(prefix="gradtool-")).resolve()
            with self._lock:
                self._all.append(room)
        try:
            yield room
        finally:
            if _emptied(room):
                with self._lock:
                    self._free.append(room)

    def close(self) -> None:
        """Remove them."""
        with self._lock:
            rooms, self._all, self._free = self._all, [], []
        for room in rooms:
            shutil.rmtree(room, ignore_errors=True)

    def __enter__(self) -> Rooms:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _emptied(room: Path) -> bool:
    """Whether nothing is left of the last submission; a room where something is, is given up."""
    for entry in os.scandir(room):
        try:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
        except OSError:
            return False
    return True
