"""A user's file as cells of Python: one cell for a .py, the code cells of a notebook.

What is no Python in a notebook (magics, shell lines, help requests) is replaced by `pass`, so
that line numbers stay those of the cell, and is reported.  A cell that is written to a file is
what other cells import.
"""

from __future__ import annotations

import ast
import codecs
import importlib.util
import json
import stat
from pathlib import Path, PurePosixPath

from gradtool.records import Struct

MAX_FILE = 64 << 20  # bytes
# Cell magics whose cell is Python all the same; the others hand the cell to another language.
_PYTHON_CELLS = frozenset({"%%time", "%%timeit", "%%capture", "%%prun", "%%python3"})
_WRITING = frozenset({"%%writefile", "%%file"})
_NOT_PYTHON = ("%", "!", "?")
_NO_FILE = "there is no such file, or it is a folder or a pipe"


class FileProblem(Exception):
    """A file that cannot be read as Python; `line` is 1-based, 0 when no line is to blame.

    `source` is the text of the line.
    """

    def __init__(self, message: str, line: int = 0, place: str = "", source: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.place = place
        self.source = source


def not_parsed(error: SyntaxError, place: str) -> FileProblem:
    """The problem of a text that is no Python, with its line."""
    message = f"Python cannot read this file: {error.msg}"
    if isinstance(error, TabError):
        message += "; indent with spaces only"
    return FileProblem(message, error.lineno or 0, place, (error.text or "").strip())


class Cell(Struct, frozen=True):
    """Python text; `place` names it in tracebacks: the file, or ``file cell 3``.

    `tags` are those in the metadata of a notebook cell; `module` is the one to whose file the cell
    is written, else "".
    """

    place: str
    text: str
    tags: tuple[str, ...] = ()
    module: str = ""


def read_cells(path: Path) -> tuple[tuple[Cell, ...], tuple[str, ...]]:
    """The cells of a file, and what was dropped.

    Raises:
        FileProblem: the file cannot be read, is no text, or is no notebook.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise FileProblem(_NO_FILE)
        if status.st_size > MAX_FILE:
            raise FileProblem(
                f"the file is larger than {MAX_FILE >> 20} MB; give the file with your functions"
            )
        with open(path, "rb", buffering=0) as file:  # all of it at once
            data = file.read()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a name may hold a null byte
        raise FileProblem(_NO_FILE) from None
    except OSError as error:
        raise FileProblem(f"the file cannot be read: {error.strerror}") from None
    if path.suffix == ".ipynb":
        return _notebook_cells(path.name, data)
    return (Cell(path.name, _decoded(path.name, data)),), ()


def _decoded(name: str, data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FileProblem("the file is no text in UTF-8, but in UTF-16; save it as UTF-8")
    try:
        # Most are plain, and then there is nothing to find out about their encoding.
        plain = data.isascii() and b"coding" not in data and b"\r" not in data
        text = data.decode("ascii") if plain else importlib.util.decode_source(data)
    except UnicodeDecodeError as error:
        raise _undecodable(name, data, error) from None
    except (SyntaxError, LookupError) as error:
        try:
            data.decode("utf-8")  # what is refused may be a byte in a first line
        except UnicodeDecodeError as inner:
            raise _undecodable(name, data, inner) from None
        text = f"the encoding of the file is not known ({error}); save it as UTF-8"
        raise FileProblem(text, 1, name) from None
    if "\0" in text:
        raise FileProblem("the file is binary: it contains null bytes")
    return text


def _undecodable(name: str, data: bytes, error: UnicodeDecodeError) -> FileProblem:
    byte = f"0x{data[error.start]:02x}"
    text = (
        f"the file is no text in {error.encoding.upper()}: it has a byte {byte}, as editors on "
        'Windows write them; save it as UTF-8, or say "# -*- coding: cp1252 -*-" in line 1'
    )
    return FileProblem(text, data.count(b"\n", 0, error.start) + 1, name)


def _notebook_cells(name: str, data: bytes) -> tuple[tuple[Cell, ...], tuple[str, ...]]:
    try:
        notebook = json.loads(data)
        raw = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
        texts = [
            (_joined(cell.get("source", cell.get("input", ""))), _tags(cell.get("metadata")))
            for cell in raw
            if cell["cell_type"] == "code"
        ]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise FileProblem(
            "the file is no notebook: no list of cells in its JSON; open and save it in Jupyter"
        ) from None
    cells, dropped = [], []
    for number, (text, tags) in enumerate(texts, start=1):
        python, lines = without_magics(text)
        cells.append(Cell(f"{name} cell {number}", python, tags, _written(text)))
        dropped += [f"cell {number}: {line}" for line in lines]
    return tuple(cells), tuple(dropped)


def tagged(cells: tuple[Cell, ...], tag: str, path: Path) -> tuple[Cell, ...]:
    """The cells up to the last one with a tag: what had run when that was answered.

    A file that is no notebook has no tags, and is taken as a whole.

    Raises:
        FileProblem: no cell of the notebook has it.
    """
    if path.suffix != ".ipynb":
        return cells
    places = [number for number, cell in enumerate(cells, start=1) if tag in cell.tags]
    if not places:
        known = ", ".join(dict.fromkeys(t for cell in cells for t in cell.tags)) or "none at all"
        raise FileProblem(f"no code cell has the tag '{tag}'; the tags are {known}")
    return cells[: places[-1]]


def _tags(metadata: object) -> tuple[str, ...]:
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()


def _joined(source: object) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def without_magics(text: str) -> tuple[str, tuple[str, ...]]:
    """The Python of a cell, with as many lines as the cell, and the lines that are none."""
    lines = text.split("\n")
    first = _first_line(text)
    if _written(text):
        return text.replace(first, "", 1), ()
    if first.startswith("%%") and first.split()[0] not in _PYTHON_CELLS:
        return "\n" * (len(lines) - 1), (first,)
    if _parses(text):  # `%` may begin a line of an expression in brackets
        return text, ()
    kept, dropped = [], []
    for line in lines:
        if _is_magic(line.strip()):
            dropped.append(line.strip())
            kept.append(line[: len(line) - len(line.lstrip())] + "pass")
        else:
            kept.append(line)
    return "\n".join(kept), tuple(dropped)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.split("\n") if line.strip()), "")


def _written(text: str) -> str:
    """The module in whose file ``%%writefile cs231n/layers.py`` puts a cell, else ""."""
    word, *options = _first_line(text).split() or [""]
    path = PurePosixPath(options[-1].strip("'\"") if options else "")
    if word not in _WRITING or path.suffix != ".py":
        return ""
    parts = (path.stem,) if path.is_absolute() else path.with_suffix("").parts
    return ".".join(parts) if all(part.isidentifier() for part in parts) else ""


def _is_magic(line: str) -> bool:
    if line.startswith(_NOT_PYTHON) or (line.endswith("?") and not line.startswith("#")):
        return True
    # `files = !ls` and `t = %timeit -o f()` assign what a magic returns.
    _, equals, right = line.partition("=")
    return bool(equals) and right.lstrip().startswith(("!", "%"))


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True
