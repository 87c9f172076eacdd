"""`[tool.gradtool]` of pyproject.toml: what a project always says on the command line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from gradtool.records import Struct
from gradtool.spec.suggest import did_you_mean
from gradtool.spec.usage import UsageError


class Settings(Struct, frozen=True):
    """The command line goes before these; paths are relative to the file's folder.

    Attributes:
        folder: of pyproject.toml; None when there is none with such a table.
    """

    folder: Path | None = None
    assignment: str | None = None
    spec: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    jobs: int | None = None
    require_sandbox: bool | None = None

    def named(self, key: str) -> str:
        """A key with its file and table, as a message begins."""
        assert self.folder is not None
        return f"{self.folder / _FILE}: [tool.gradtool]: {key}"


_FILE = "pyproject.toml"
_KINDS: dict[str, tuple[type, str]] = {
    "assignment": (str, "a path"),
    "spec": (list, "a list of texts"),
    "select": (list, "a list of codes"),
    "ignore": (list, "a list of codes"),
    "jobs": (int, "a number"),
    "require-sandbox": (bool, "true or false"),
}


def read_settings(start: Path) -> Settings:
    """The settings in the nearest pyproject.toml in `start` or above it.

    Raises:
        UsageError: the file is no TOML, or the table has an unknown key or a wrong value.
    """
    for folder in (start, *start.parents):
        path = folder / _FILE
        if path.is_file():
            return _settings(path)
    return Settings()


def _settings(path: Path) -> Settings:
    try:
        with path.open("rb") as stream:
            table: Any = tomllib.load(stream).get("tool", {})
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    table = table.get("gradtool") if isinstance(table, dict) else None
    if table is None:
        return Settings()
    where = f"{path}: [tool.gradtool]"
    if not isinstance(table, dict):
        raise UsageError(f"{where}: expected a table")
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in _KINDS:
            raise UsageError(f"{where}: unknown key '{key}'", did_you_mean(key, _KINDS))
        kind, words = _KINDS[key]
        texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if type(value) is not kind or (kind is list and not texts):
            raise UsageError(f"{where}: {key}: expected {words}, found {value!r}")
        if isinstance(value, int) and kind is int and value < 1:
            raise UsageError(f"{where}: {key}: expected at least 1, found {value}")
        values[key.replace("-", "_")] = tuple(value) if isinstance(value, list) else value
    return Settings(folder=path.parent, **values)
