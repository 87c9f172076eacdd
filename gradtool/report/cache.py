"""Derived sheets kept between runs, as JSON, under a key made of everything they depend on.

A damaged or foreign file is a miss, never an error; nothing in it is executed.  Set
GRADTOOL_CACHE to another folder, or to an empty text to switch the cache off.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from gradtool import __version__

_FORMAT = 1


def folder() -> Path | None:
    """Where sheets are kept; None when the cache is off or there is no home."""
    chosen = os.environ.get("GRADTOOL_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        if base:
            return Path(base) / "gradtool"
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "gradtool" / "cache"
        return Path.home() / ".cache" / "gradtool"
    except RuntimeError:
        return None


def key(parts: Iterable[str]) -> str:
    """The name of an entry: a hash of the parts, of gradtool's and of sympy's version."""
    digest = hashlib.sha256()
    for part in (str(_FORMAT), __version__, _code(), _sympy(), *parts):
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.hexdigest()


def _sympy() -> str:
    """What tells sympy's version, found without importing it (importlib.metadata is slow)."""
    found = importlib.util.find_spec("sympy")
    if found is None or found.origin is None:
        return "none"
    try:
        return (Path(found.origin).parent / "release.py").read_text(encoding="utf-8")
    except OSError:
        return found.origin


@cache
def _code() -> str:
    """Names, sizes and times of the source files: an edited checkout is another version."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found: list[str] = []
    folders = [root]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.name.endswith(".py"):
                    status = entry.stat()
                    name = entry.path.removeprefix(root)
                    found.append(f"{name}:{status.st_size}:{status.st_mtime_ns};")
    return hashlib.sha256("".join(sorted(found)).encode()).hexdigest()


def read(name: str) -> dict[str, Any] | None:
    """An entry, or None."""
    place = folder()
    if place is None:
        return None
    try:
        data = json.loads((place / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def write(name: str, data: dict[str, Any]) -> None:
    """Keep an entry; failing to is no error."""
    place = folder()
    if place is None:
        return
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=place, suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(data, file)
            os.replace(temporary, place / f"{name}.json")
        except OSError:
            os.unlink(temporary)
