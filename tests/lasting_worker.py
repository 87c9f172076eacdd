"""A worker that checks many files one after another, so that a process is started once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradtool.check.pair import check_pair
from gradtool.check.process import Worker, WorkerLost
from gradtool.check.reference import Reference
from gradtool.check.result import Verdict

_FILES = 200  # that one process loads: what a file changes in NumPy is never undone


class LastingWorker:
    """A lost process is replaced, and an old one.  A context manager, which ends it.

    `folder` is where files are written.
    """

    def __init__(self, folder: Path, seconds: float = 20.0) -> None:
        self.folder = folder
        self._seconds = seconds
        self._worker: Worker | None = None
        self._checked = 0

    def check(
        self, reference: Reference, text: str, name: str, seed: int = 0, explain: bool = True
    ) -> Verdict:
        """The verdict on a file with this text, which is called `name`.py."""
        file = self.folder / f"{name}.py"
        file.write_text(text)
        self._checked += 1
        if self._checked % _FILES == 0:
            self.end()
        shared: Any = self
        return check_pair(
            reference,
            file,
            seed=seed,
            version="tests",
            seconds=self._seconds,
            worker=shared,
            explain=explain,
        ).verdict

    def ask(self, *arguments: Any) -> Any:
        self._worker = self._worker or Worker(self.folder, self._seconds)
        try:
            return self._worker.ask(*arguments)
        except WorkerLost:
            self.end()
            raise

    def close(self) -> None:
        """A session closes its worker at its end; this one serves the next."""

    def end(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def __enter__(self) -> LastingWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
