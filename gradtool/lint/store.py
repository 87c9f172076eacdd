"""Results on disk: a heading, then one line of JSON for each submission, written as it is graded.

The same file resumes an interrupted run, carries a shard to `gradtool merge`, and keeps what a
second run need not do again. A line that was cut off by a kill is ignored.

A later run begins with a line that says so, and names the results that it keeps: what was handed in
again, or taken back, has earlier lines that count no longer.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

from gradtool.lint.result import Graded, Heading
from gradtool.records import Struct, ValidationError, convert, replace, to_builtins
from gradtool.spec.usage import UsageError

_FORMAT = "gradtool results 1"
_BEGINNING = b'{"format":"gradtool results'
_BEGUN = '{"begun":true}'
_KEPT = b'{"kept":'

_Told = TypeVar("_Told", bound=Struct)


class _First(Struct, frozen=True):
    """The first line of a file."""

    format: str
    heading: Heading


class _Kept(Struct, frozen=True):
    """A line that says that an earlier one, with this name and key, counts in this run, too."""

    kept: tuple[str, str]


class Place(Struct, frozen=True):
    """Where a line stands in a file that is open."""

    file: IO[bytes]
    start: int
    length: int

    def read(self) -> str:
        """The line, without its end."""
        return os.pread(self.file.fileno(), self.length, self.start).decode()


_MOST_HELD = 400  # submissions; one takes some ten kilobytes


class Lines:
    """Graded submissions as lines of JSON on disk, read one at a time; memory has the places.

    And those of a class, which is looked through several times for a report; of a large course
    the first ones.
    """

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        """`lines` are names and lines, in any order; they are put into a file of their own."""
        self._places: dict[str, Place] = {}
        self._held: dict[str, Graded] = {}
        spool: IO[bytes] | None = None
        for name, line in lines:
            spool = spool or _spool()
            self.put(name, _written(spool, line))

    def put(self, name: str, place: Place, graded: Graded | None = None) -> None:
        """Add a submission, or take another line for it; `graded` is what the line says."""
        self._places[name] = place
        self._held.pop(name, None)
        if graded is not None:
            self._hold(name, graded)

    def _hold(self, name: str, graded: Graded) -> None:
        if len(self._held) < _MOST_HELD:
            self._held[name] = graded

    def find(self, name: str) -> Place | None:
        """Where its line stands."""
        return self._places.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """In order."""
        return tuple(sorted(self._places))

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Graded]:
        for name in self.names:
            graded = self._held.get(name)
            if graded is None:
                graded = graded_of(self._places[name].read())
                self._hold(name, graded)
            yield graded


def _spool() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="gradtool-")


def _written(stream: IO[bytes], line: str) -> Place:
    """Append a line, and see it in the file."""
    data = line.encode()
    start = stream.seek(0, os.SEEK_END)
    stream.write(data + b"\n")
    stream.flush()
    return Place(stream, start, len(data))


def line_of(graded: Graded) -> str:
    """One line, without its end."""
    return _json_of(graded)


def graded_of(line: str) -> Graded:
    """The inverse of `line_of`.

    Raises:
        ValueError: the line is damaged.
    """
    return _read(line, Graded)


def _json_of(value: object) -> str:
    # Not by msgspec, whose JSON has no infinity, no nan and no half of a surrogate pair.
    return json.dumps(to_builtins(value, order="deterministic"), separators=(",", ":"))


def _read(line: str | bytes, kind: type[_Told]) -> _Told:
    """What `_json_of` wrote.

    Raises:
        ValueError: it is no JSON, or of another shape.
    """
    try:
        return convert(json.loads(line), kind)
    except ValidationError as error:
        raise ValueError(str(error)) from None


class Store:
    """The results of one run.  A context manager.

    Attributes:
        heading: of this run. Kept results may have another seed: each verdict has its own.
        lines: those that were found or added; they can be read until they are dropped.
        aside: where the results of another run went that were in the file; None without any.
    """

    def __init__(
        self, path: Path | None, heading: Heading, *, fresh: bool = False, needed: bool = True
    ) -> None:
        """Open or begin a file; None keeps results in memory only.

        Raises:
            UsageError: the file is `needed` and cannot be written.
        """
        self.heading = heading
        self.lines = Lines()
        self.aside: Path | None = None
        self._place = path
        self._known: dict[tuple[str, str], Place] = {}
        self._stream = self._opened(path, fresh, needed)

    def _opened(self, path: Path | None, fresh: bool, needed: bool) -> IO[bytes]:
        if path is None:
            return _spool()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = _taken(path)
            if stream is None:
                if not needed:
                    return _spool()
                raise UsageError(
                    f"results cannot be kept in {path}: another run keeps its results there",
                    "wait for its end, or name another file",
                )
            found = _read_tolerant(path)
            if found is None or not _same_run(found[0], self.heading):
                if needed and found is not None and found[1].results:
                    self.aside = _set_aside(path)
                return self._moved(path, ())
            if fresh:
                return self._moved(path, ())
            if found[0].total != self.heading.total:
                return self._moved(path, found[1].results)
            self._known = {(name, key): place for name, key, place in found[1].results}
            stream.write(b"\n")  # the last line may have been cut off
            _written(stream, _BEGUN)
        except OSError as error:
            if not needed:
                return _spool()
            raise UsageError(f"results cannot be written to {path}: {error.strerror}") from None
        return stream

    def _moved(self, path: Path, found: Sequence[tuple[str, str, Place]]) -> IO[bytes]:
        """A new file, with these results, under the heading of this run.

        The old one is still read by a run that may write its report from it.
        """
        new = path.with_name(f"{path.name}.new")
        stream = new.open("w+b")
        _locked(stream)
        _written(stream, _heading_line(self.heading))
        for name, key, place in found:
            self._known[name, key] = _written(stream, place.read())
        if found:
            _written(stream, _BEGUN)
        new.replace(path)
        return stream

    @property
    def known(self) -> int:
        """How many earlier results there are."""
        return len(self._known)

    def find(self, name: str, key: str) -> Graded | None:
        """An earlier result of that submission with that content."""
        place = self._known.get((name, key))
        if place is None:
            return None
        graded = graded_of(place.read())
        _written(self._stream, _json_of(_Kept((name, key))))
        self.lines.put(name, place, graded)
        return graded

    def add(self, graded: Graded) -> None:
        """Keep a result; one thread at a time.

        Raises:
            UsageError: there is no room for it.
        """
        try:
            place = _written(self._stream, line_of(graded))
        except OSError as error:
            where = self._place or tempfile.gettempdir()
            raise UsageError(
                f"results cannot be written to {where}: {error.strerror}",
                "make room, and run the same command again; what was graded before is kept",
            ) from None
        self.lines.put(graded.name, place, graded)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # `add` has told
            self._stream.flush()  # and open: the lines are read from it
        with suppress(OSError):
            fcntl.flock(self._stream.fileno(), fcntl.LOCK_UN)


def merged(paths: Iterable[Path]) -> tuple[Heading, Lines]:
    """The results of all shards of one run.

    Raises:
        UsageError: a file is none, shards are of different runs, or one is missing.
    """
    heading: Heading | None = None
    lines = Lines()
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
        elif found.total != heading.total:
            raise UsageError(
                f"{path} is of {found.total} submissions, the first file of {heading.total}: some "
                "were handed in, or taken back, meanwhile",
                "run every shard again; what is graded already is kept",
            )
        shards.add(found.shard[0])
        for name, key, place in graded.run:
            earlier = lines.find(name)
            if earlier is None:
                lines.put(name, place)
            elif graded_of(earlier.read()).key != key:
                raise UsageError(f"{path}: '{name}' was graded before, with another content")
    if heading is None:
        raise UsageError("expected at least one file of results")
    missing = sorted(set(range(1, heading.shard[1] + 1)) - shards)
    if missing:
        listed = ", ".join(f"{one}/{heading.shard[1]}" for one in missing)
        raise UsageError(
            f"the results of shard {listed} are missing",
            "give the file of --results of every shard, all at once",
        )
    if len(lines) != heading.total:
        raise UsageError(
            f"expected {heading.total} submissions, found {len(lines)}: a shard was interrupted",
            "run that shard again; it goes on where it stopped",
        )
    return replace(heading, shard=(1, 1)), lines


def _taken(path: Path) -> IO[bytes] | None:
    """A file of results, to add to; None where another run keeps its results there.

    Raises:
        UsageError: it is no regular file, or holds something else, which nobody wants to lose.
        OSError: it cannot be written.
    """
    while True:
        if path.exists() and not path.is_file():
            raise UsageError(f"results cannot be kept in {path}: it is no regular file")
        stream = path.open("a+b")
        stream.seek(0)
        if not _BEGINNING.startswith(stream.read(len(_BEGINNING))):  # it may be cut off
            raise UsageError(
                f"results cannot be kept in {path}: it holds something else",
                "name a new file, or delete this one",
            )
        if not _locked(stream):
            return None
        if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
            return stream  # and nobody has put a new one in its place meanwhile


def _set_aside(path: Path) -> Path:
    """Give the results of another run a name that is free: they may have taken a night."""
    for number in itertools.count(1):
        other = path.with_name(f"{path.name}.old{number if number > 1 else ''}")
        if not other.exists():
            break
    path.replace(other)
    return other


def _locked(stream: IO[bytes]) -> bool:
    """Take a file for this run; False where another one has it.

    Each of two runs would take lines of the other for its own.  Not every file can be locked.
    """
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _heading_line(heading: Heading) -> str:
    return _json_of(_First(_FORMAT, heading))


def _same_run(first: Heading, second: Heading) -> bool:
    """A heading may differ in what makes no result another one: the seed, for each verdict has its
    own, and how many submissions there are, for one may be handed in late.
    """
    return replace(first, seed=second.seed, total=second.total) == second


class _Found(Struct, frozen=True):
    """What a file holds: of every whole result its name, key and place.

    Attributes:
        results: of all runs.
        run: those that were added in the last one, or kept by it.
    """

    results: list[tuple[str, str, Place]]
    run: list[tuple[str, str, Place]]


def _read_tolerant(path: Path) -> tuple[Heading, _Found] | None:
    """None where there is no heading."""
    try:
        stream = path.open("rb")
        first = _read(stream.readline(), _First)
        if first.format != _FORMAT:
            return None
        found = _Found([], [])
        known: dict[tuple[str, str], Place] = {}
        start = stream.tell()
        for data in stream:
            place = Place(stream, start, len(data.rstrip(b"\n")))
            start += len(data)
            if data.rstrip(b"\n") == _BEGUN.encode():
                found.run.clear()
                continue
            try:
                if data.startswith(_KEPT):
                    one = _read(data, _Kept).kept
                else:
                    graded = graded_of(data.decode())
                    one = graded.name, graded.key
                    known[one] = place
                    found.results.append((*one, place))
            except (ValueError, RecursionError):
                continue
            if one in known:
                found.run.append((*one, known[one]))
    except (OSError, ValueError):
        return None
    return first.heading, found
