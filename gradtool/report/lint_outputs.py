"""`--output FORMAT=FILE`: which reports are written where, and in nobody's place."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from gradtool.lint.submissions import CODE, Submission
from gradtool.report import formats
from gradtool.spec.suggest import did_you_mean
from gradtool.spec.usage import UsageError

TEXT = "text"


def places(texts: Iterable[str], ours: Iterable[Path]) -> list[tuple[str, Path]]:
    """The reports to write, each to a file of its own, and none of `ours`, which are read.

    Told before an hour of grading, not behind it.

    Raises:
        UsageError: one cannot be written, or would take the place of another file.
    """
    taken = {path.resolve(): "it is read by this command" for path in ours}
    found = [parse_output(text) for text in texts]
    for _, file in found:
        reason = ""
        if not file.parent.is_dir():
            reason = f"there is no folder {file.parent}"
        elif file.is_dir():
            reason = "it is a folder"
        elif not os.access(file if file.exists() else file.parent, os.W_OK):
            reason = "it may not be written"
        elif file.is_file() or not file.exists():  # a device may be written twice
            place = file.resolve()
            reason = taken.get(place, "")
            taken[place] = "two reports cannot be in one file"
        if reason:
            raise UsageError(f"--output: {file} cannot be written: {reason}")
    return found


def spare(submissions: Iterable[Submission], outputs: Sequence[Path]) -> None:
    """See that no report takes the place of what somebody handed in.

    Raises:
        UsageError: one would.
    """
    code = {file: file.resolve() for file in outputs if file.name.endswith(CODE) and file.exists()}
    if not code:
        return
    handed_in = {one.path.resolve() for one in submissions}
    for file, place in code.items():
        if not handed_in.isdisjoint((place, *place.parents)):
            raise UsageError(f"--output: {file} cannot be written: it is part of a submission")


def parse_output(text: str) -> tuple[str, Path]:
    """``junit=report.xml`` as format and file.

    Raises:
        UsageError: it is not of that form, or there is no such format.
    """
    name, equals, place = text.partition("=")
    if not equals or not place:
        raise UsageError(
            f"--output {text!r}: expected FORMAT=FILE", "for example: --output junit=report.xml"
        )
    known(name)
    return name, Path(place)


def known(name: str) -> None:
    """See that there is a format.

    Raises:
        UsageError: there is none.
    """
    every = (TEXT, *formats.names())
    if name not in every:
        raise UsageError(f"there is no format '{name}'", did_you_mean(name, every))
