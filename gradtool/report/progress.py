"""How far a run is, on stderr: a live line on a terminal, now and then a plain one elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from gradtool.report.safe import one_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_EVERY = 10.0  # seconds between plain lines


class Nothing:
    """For a single step."""

    def step(self, name: str, passed: bool) -> None:
        """It is finished."""


class Plain:
    """For logs: a line every ten seconds, nothing for a run that is over by then."""

    def __init__(self, total: int, out: TextIO, *, failures: bool = True) -> None:
        self._total, self._out, self._failures = total, out, failures
        self._done = self._failed = 0
        self._started = self._told = time.monotonic()

    def step(self, name: str, passed: bool) -> None:
        """One more is finished."""
        self._done += 1
        self._failed += not passed
        now = time.monotonic()
        if now - self._told >= _EVERY and self._done < self._total:
            self._told = now
            left = (now - self._started) / self._done * (self._total - self._done)
            errors = f"{self._failed} with errors, " if self._failures else ""
            text = f"{self._done} of {self._total}, {errors}{left:.0f} s left"
            print(text, file=self._out, flush=True)

    def __enter__(self) -> Plain:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


class Live:
    """For a terminal: a bar with the time that is left, and who was last."""

    def __init__(self, total: int, out: TextIO, *, failures: bool = True) -> None:
        self._failures = failures
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Left

        columns = (BarColumn(), MofNCompleteColumn(), Left(), TextColumn("{task.fields[told]}"))
        self._progress: Progress = Progress(*columns, console=Console(file=out), transient=True)
        self._task: TaskID = self._progress.add_task("", total=total, told="")
        self._failed = 0

    def step(self, name: str, passed: bool) -> None:
        """One more is finished."""
        self._failed += not passed
        from rich.markup import escape

        errors = f"{self._failed} with errors   " if self._failures else ""
        told = f"{errors}{escape(one_line(name)[:40])}"
        self._progress.update(self._task, advance=1, told=told)

    def __enter__(self) -> Live:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()


def progress(total: int, out: TextIO, *, failures: bool = True) -> Plain | Live:
    """The one that fits the stream; `failures` are counted in it."""
    kind = Live if out.isatty() else Plain
    return kind(total, out, failures=failures)
