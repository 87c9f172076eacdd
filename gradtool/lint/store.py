"""Results on disk: a heading, then one line of JSON for each submission, written as it is graded.

The same file resumes an interrupted run, carries a shard to `gradtool merge`, and keeps what a
second run need not do again. A line that was cut off by a kill is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from gradtool.lint.codec import CodecError, from_data, to_data
from gradtool.lint.result import Graded, Heading
from gradtool.spec.usage import UsageError

_FORMAT = "gradtool results 1"


class Lines:
    """Graded submissions as lines of JSON, decoded one at a time: thousands fit into memory."""

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        """`lines` are names and lines, in any order; a name stands once."""
        self._lines = dict(sorted(lines))

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Graded]:
        for line in self._lines.values():
            yield graded_of(line)


def line_of(graded: Graded) -> str:
    """One line, without its end."""
    return json.dumps(to_data(graded), separators=(",", ":"))


def graded_of(line: str) -> Graded:
    """The inverse of `line_of`.

    Raises:
        ValueError: the line is damaged.
    """
    return from_data(Graded, json.loads(line))


class Store:
    """The results of one run.  A context manager, which closes the file.

    Attributes:
        heading: of this run. Kept results may have another seed: each verdict has its own.
    """

    def __init__(
        self, path: Path | None, heading: Heading, *, fresh: bool = False, needed: bool = True
    ) -> None:
        """Open or begin a file; None keeps results in memory only.

        Raises:
            UsageError: the file is `needed` and cannot be written.
        """
        self.heading = heading
        self._path = path
        self._known: dict[tuple[str, str], str] = {}
        self._stream: IO[str] | None = None
        if path is None:
            return
        found = None if fresh else _read_tolerant(path)
        same = found is not None and _same_run(found[0], heading)
        if found is not None and same:
            self._known = {(name, key): line for name, key, line in found[1]}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("a" if same else "w", encoding="utf-8", newline="\n")
            if same:
                self._stream.write("\n")  # the last line may have been cut off
            else:
                self._write({"format": _FORMAT, "heading": to_data(self.heading)})
            self._stream.flush()
        except OSError as error:
            if not needed:
                return
            raise UsageError(f"results cannot be written to {path}: {error.strerror}") from None

    @property
    def known(self) -> int:
        """How many earlier results there are."""
        return len(self._known)

    def find(self, name: str, key: str) -> str | None:
        """The line of an earlier result of that submission with that content."""
        return self._known.get((name, key))

    def add(self, graded: Graded) -> str:
        """Keep a result; its line."""
        line = line_of(graded)
        if self._stream is not None:
            self._stream.write(line + "\n")
            self._stream.flush()
        return line

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def _write(self, data: dict[str, Any]) -> None:
        assert self._stream is not None
        self._stream.write(json.dumps(data, separators=(",", ":")) + "\n")


def merged(paths: Iterable[Path]) -> tuple[Heading, Lines]:
    """The results of all shards of one run.

    Raises:
        UsageError: a file is none, shards are of different runs, or one is missing.
    """
    heading: Heading | None = None
    lines: dict[str, str] = {}
    shards: set[int] = set()
    for path in paths:
        read = _read_tolerant(path)
        if read is None:
            raise UsageError(f"{path} holds no results", "give the files of `--results`")
        found, graded = read
        if heading is None:
            heading = found
        elif (found.key, found.shard[1]) != (heading.key, heading.shard[1]):
            raise UsageError(
                f"{path} is of another assignment, version or number of shards than the first file"
            )
        shards.add(found.shard[0])
        for name, _, line in graded:
            if lines.setdefault(name, line) != line and not _same(lines[name], line):
                raise UsageError(f"{path}: '{name}' was graded before, with another content")
    if heading is None:
        raise UsageError("expected at least one file of results")
    missing = sorted(set(range(1, heading.shard[1] + 1)) - shards)
    if missing:
        listed = ", ".join(f"{one}/{heading.shard[1]}" for one in missing)
        raise UsageError(f"the results of shard {listed} are missing")
    if len(lines) != heading.total:
        raise UsageError(
            f"expected {heading.total} submissions, found {len(lines)}: a shard was interrupted",
            "run that shard again; it goes on where it stopped",
        )
    return replace(heading, shard=(1, 1)), Lines(lines.items())


def _same_run(first: Heading, second: Heading) -> bool:
    """A heading may differ in its seed only, so that what stands in the file stays true."""
    return replace(first, seed=second.seed) == second


def _same(first: str, second: str) -> bool:
    return graded_of(first).key == graded_of(second).key


def _read_tolerant(path: Path) -> tuple[Heading, list[tuple[str, str, str]]] | None:
    """Heading, and name, key and line of every whole result; None where there is no heading."""
    try:
        with path.open(encoding="utf-8") as stream:
            first = json.loads(stream.readline())
            if not isinstance(first, dict) or first.get("format") != _FORMAT:
                return None
            heading = from_data(Heading, first["heading"])
            found = []
            for line in stream:
                try:
                    graded = graded_of(line)
                except (ValueError, RecursionError):
                    continue
                found.append((graded.name, graded.key, line.rstrip("\n")))
    except (OSError, ValueError, KeyError, CodecError):
        return None
    return heading, found
