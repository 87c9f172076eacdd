"""Find submissions, and copy one into a private folder without trusting anything about it.

What is graded is the copy: a file is opened once, without following links, and its bytes are
what the key is made of, what the worker may read and what the report talks about.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from gradtool.check.reaching import reaches
from gradtool.records import Struct

MAX_FILE = 1 << 20
MAX_NOTEBOOK = 16 << 20  # with the plots that it shows, which count for nothing
MAX_FILES = 500
MAX_TOTAL = 32 << 20
MAX_DEPTH = 12
CODE = (".py", ".ipynb")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
_NAMED = 3
# Nothing in these was written by the student, and they are large.
_IGNORED = frozenset({"__pycache__", "__MACOSX", "venv", "node_modules", "site-packages"})


class Submission(Struct, frozen=True):
    """A file or a folder that somebody handed in.

    Attributes:
        name: as reports show it, with ``/``; unique in a run.
    """

    name: str
    path: Path


class Refused(Struct, frozen=True):
    """A file that was not opened, and why."""

    name: str
    reason: str


class Staged(Struct, frozen=True):
    """A private copy of a submission.

    Attributes:
        folder: absolute; holds nothing else.
        alone: the submission is one file, whatever its name is.
        files: relative names of what was copied, sorted, with ``/``.
        refused: what was not.
        digest: of names and contents, and of what was refused.
        random: the word is in one of the files.
        reaches: a file of code has a word by which it could reach what runs it.
    """

    folder: Path
    alone: bool
    files: tuple[str, ...]
    refused: tuple[Refused, ...]
    digest: str
    random: bool = False
    reaches: bool = False


def submissions_in(folder: Path) -> tuple[Submission, ...]:
    """Every Python file, notebook and folder directly in a folder, sorted by name.

    Links are listed too: each has a result, which says that it was not followed.

    Raises:
        OSError: the folder cannot be read.
    """
    return _entries(folder)[0]


def left_out(folder: Path) -> tuple[Submission, ...]:
    """Everything else there, but for what is hidden: archives, say, that nobody has unpacked."""
    return _entries(folder)[1]


def _entries(folder: Path) -> tuple[tuple[Submission, ...], tuple[Submission, ...]]:
    taken: list[Submission] = []
    others: list[Submission] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_passed_over(entry.name):
                continue
            fits = entry.is_dir(follow_symlinks=False) or entry.name.endswith(CODE)
            one = Submission(shown_name(entry.name), Path(entry.path))
            (taken if fits else others).append(one)
    first, second = (tuple(sorted(found, key=lambda one: one.name)) for found in (taken, others))
    return first, second


def shown_name(name: str) -> str:
    """A name as text that can be encoded: a byte that is no UTF-8 becomes ``\\xff``.

    Nobody's name is shown like another's: a backslash in a name is doubled.
    """
    data = os.fsencode(name)
    if os.sep != "\\":
        data = data.replace(b"\\", b"\\\\")
    return data.decode("utf-8", "backslashreplace")


def files_below(paths: Iterable[Path]) -> Iterator[Path]:
    """The Python files and notebooks that paths on the command line mean, each once: a link to one
    of the others is left out.
    """
    found = list(_files_below(paths))
    links = {path for path in found if path.is_symlink()}
    others = {os.path.realpath(path) for path in found if path not in links} if links else set()
    for path in found:
        if path not in links or os.path.realpath(path) not in others:
            yield path


def _files_below(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for place, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not _is_passed_over(name))
            taken = sorted(n for n in names if n.endswith(CODE) and not _is_passed_over(n))
            yield from (Path(place, name) for name in taken)


def stage(submission: Submission, target: Path) -> Staged:
    """Copy a submission into `target`, an empty private folder.

    Only regular files of at most 1 MB and notebooks of at most 16 MB are copied, and never more
    than 500 of them; nothing that is hidden.
    """
    digest = hashlib.sha256()
    files: list[str] = []
    refused: list[Refused] = []
    total, random, reaching = 0, False, False
    for relative, path, reason in _walk(submission.path):
        if len(files) >= MAX_FILES or total >= MAX_TOTAL:
            refused.append(Refused(relative, "the submission has too many files"))
            break
        content, reason = (b"", reason) if reason else _read(path)
        if reason:
            refused.append(Refused(relative, reason))
            continue
        place = target / relative
        if "/" in relative:
            place.parent.mkdir(parents=True, exist_ok=True)
        with open(place, "wb") as file:
            file.write(content)
        files.append(relative)
        total += len(content)
        random = random or names_random(content)
        reaching = reaching or (relative.endswith(CODE) and reaches(content))
        for part in (os.fsencode(relative), content):
            digest.update(len(part).to_bytes(8, "big") + part)
    for one in refused:
        digest.update(f"refused {shown_name(one.name)} {one.reason}".encode())
    try:
        alone = not stat.S_ISDIR(os.lstat(submission.path).st_mode)
    except OSError:  # it was deleted meanwhile, which `refused` tells
        alone = True
    names = tuple(sorted(files))
    return Staged(target, alone, names, tuple(refused), digest.hexdigest(), random, reaching)


def names_random(content: bytes) -> bool:
    """Whether a file may draw random numbers: its worker has `numpy.random` ready then, which takes
    longer to import than most submissions run, and makes every worker's memory a fifth larger.
    """
    return b"random" in content


def choose(staged: Staged, patterns: Sequence[str]) -> tuple[str, str]:
    """The file that a question means: its name and "", or "" and what is wrong.

    The first pattern that fits decides. One without ``/`` fits in any folder, and of several
    files the one nearest to the top is taken. A submission that is one file has no choice.
    """
    if staged.alone and any(is_archive(name) for name in staged.files):
        return "", ""  # a submission in itself, for whoever unpacks it
    patterns = ("*",) if staged.alone else patterns
    barred = [one for one in staged.refused if any(fits(one.name, p) for p in patterns)]
    for pattern in patterns:
        fitting = [name for name in staged.files if fits(name, pattern)]
        if fitting:
            break
    else:
        return "", f"{shown_name(barred[0].name)}: {barred[0].reason}" if barred else ""
    depth = min(name.count("/") for name in fitting)
    highest = [name for name in fitting if name.count("/") == depth]
    if len(highest) > 1:
        listed = ", ".join(map(shown_name, highest[:5])) + (", …" if len(highest) > 5 else "")
        return "", f"several files fit: {listed}; the assignment's file: can name one"
    return highest[0], ""


def further(staged: Staged, patterns: Sequence[str], file: str) -> tuple[str, ...]:
    """What else may hold the answer where a chosen file has nothing of it: what other patterns
    choose, for it may be a helper of theirs, then what stands deeper, for a ``setup.py`` may stand
    beside ``src/``.  Of several files at one level nobody knows which is meant.
    """
    if len(staged.files) <= 1:
        return ()
    every = [list(_alone(staged, pattern)) for pattern in patterns]
    found = [names[0] for names in every if names]
    found += [name for names in every for name in names[1:]]
    return tuple(dict.fromkeys(name for name in found if name != file))


def _alone(staged: Staged, pattern: str) -> Iterator[str]:
    """The files that fit a pattern, from the top down, while there is one at a level."""
    levels: dict[int, list[str]] = {}
    for name in staged.files:
        if fits(name, pattern):
            levels.setdefault(name.count("/"), []).append(name)
    for _, names in sorted(levels.items()):
        if len(names) > 1:
            return
        yield names[0]


def contents(staged: Staged) -> str:
    """What there is instead of what was expected, in words; and what to do about an archive."""
    names = [shown_name(name) for name in staged.files]
    names += [f"{shown_name(one.name)} ({one.reason})" for one in staged.refused]
    if not names:
        return "none"
    more = len(names) - _NAMED
    listed = ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    packed = any(is_archive(one) for one in (*staged.files, *(r.name for r in staged.refused)))
    return f"only {listed}" + ("; unpack the archive" if packed else "")


def is_archive(name: str) -> bool:
    """Whether a name is that of several files in one."""
    return name.lower().endswith(_ARCHIVES)


def fits(name: str, pattern: str) -> bool:
    """Whether a relative name fits a pattern of the assignment."""
    path = PurePosixPath(name)
    if "/" not in pattern:
        return fnmatchcase(path.name, pattern)
    return (
        path.match(pattern.removeprefix("**/")) if "**" in pattern else fnmatchcase(name, pattern)
    )


def _is_passed_over(name: str) -> bool:
    """Whether nobody hands in what has this name: programs made it, and it is in the way.

    A name with a dot in front is hidden from the student, too: ``._hw.py``, which macOS packs
    beside ``hw.py``, the checkpoints of a notebook, the folders of editors.
    """
    return name.startswith(".") or name in _IGNORED


def _walk(top: Path) -> Iterator[tuple[str, Path, str]]:
    """Relative name, path and a reason not to open it; no link is followed."""
    try:
        mode = os.lstat(top).st_mode
    except OSError as error:
        yield top.name, top, f"it cannot be read: {error.strerror}"
        return
    if not stat.S_ISDIR(mode):
        yield top.name, top, _reason(mode)
        return
    todo: list[tuple[str, Path]] = [("", top)]
    while todo:
        prefix, folder = todo.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield prefix.rstrip("/") or top.name, folder, f"it cannot be read: {error.strerror}"
            continue
        for entry in found:
            relative = f"{prefix}{entry.name}"
            if _is_passed_over(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                if relative.count("/") < MAX_DEPTH:
                    todo.append((f"{relative}/", Path(entry.path)))
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:  # it was deleted meanwhile
                yield relative, Path(entry.path), f"it cannot be read: {error.strerror}"
                continue
            if entry.name.endswith(CODE):
                yield relative, Path(entry.path), _reason(status.st_mode)
            elif stat.S_ISREG(status.st_mode):
                small = status.st_size <= MAX_FILE
                if small or is_archive(entry.name):
                    yield relative, Path(entry.path), "" if small else _too_large(entry.name)


def _reason(mode: int) -> str:
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISLNK(mode):
        return "it is a link, and links are not followed"
    return "it is a folder" if stat.S_ISDIR(mode) else "it is no regular file"


def _read(path: Path) -> tuple[bytes, str]:
    """The content, or a reason; what the directory said is checked again on the open file."""
    most = _most_bytes(path.name)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return b"", f"it cannot be read: {error.strerror}"
    with open(fd, "rb") as stream:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return b"", "it is no regular file"
        content = stream.read(min(status.st_size, most) + 1)
        if len(content) > status.st_size:  # it grows, or its system does not say how long it is
            content += stream.read(most)
    if len(content) > most:
        return b"", _too_large(path.name)
    return content, ""


def _most_bytes(name: str) -> int:
    return MAX_NOTEBOOK if name.endswith(".ipynb") else MAX_FILE


def _too_large(name: str) -> str:
    return f"it is larger than {_most_bytes(name) >> 20} MB"
