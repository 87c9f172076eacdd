"""Doing something again whenever a file is saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_PAUSE = 0.2  # seconds between looks; a save is seen at once, and looking costs nothing


def on_save(
    files: Sequence[Path],
    act: Callable[[], object],
    tell: Callable[[str], None],
    pause: Callable[[], None] = lambda: time.sleep(_PAUSE),
) -> None:
    """Act now and after every change of one of the files, until interrupted."""
    act()
    tell(f"watching {', '.join(map(str, files))}; Ctrl-C ends it")
    for changed in _changes(files, pause):
        tell(f"{changed} was saved")
        act()


def _changes(files: Sequence[Path], pause: Callable[[], None]) -> Iterator[Path]:
    before = {file: _stamp(file) for file in files}
    while True:
        pause()
        for file in files:
            now = _stamp(file)
            # An editor may remove a file and write it again: what is not there has not changed.
            if now is not None and now != before[file]:
                before[file] = now
                yield file


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
