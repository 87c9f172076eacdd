"""From what a user types to a spec: a bundled name, a path or ``-``."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from gradtool.spec.bundled import bundled_specs
from gradtool.spec.errors import SpecError
from gradtool.spec.model import LayerSpec
from gradtool.spec.suggest import did_you_mean
from gradtool.spec.usage import UsageError


@lru_cache(maxsize=1)
def _bundled() -> dict[str, Path]:
    return bundled_specs()


def load(text: str) -> LayerSpec:
    """The spec that a user names.

    Raises:
        UsageError: there is no such bundled layer and no such file.
        SpecError: the file is no valid spec.
    """
    from gradtool.spec.load import load_path, load_stdin  # a cached plan needs no YAML

    if text == "-":
        return load_stdin()
    path = path_of(text)
    if path is None:
        raise _unknown(text)
    return load_path(path)


def load_from(folder: Path, text: str) -> LayerSpec:
    """The spec that a file in a folder names: one by its path from there, or a bundled one.

    Never one in the folder that the command is called in, which may be anybody's.

    Raises:
        UsageError: there is none.
        SpecError: the file is no valid spec.
    """
    from gradtool.spec.load import load_path

    beside = folder / text
    path = beside if os.path.isfile(beside) else _bundled().get(text)
    if path is not None:
        return load_path(path)
    if not _looks_like_path(text):
        raise _unknown(text)
    name = Path(text).stem
    hint = "a path goes from the folder of the file that names it"
    if name in _bundled():
        hint = f"write {name} for the bundled layer"
    raise UsageError(f"there is no file '{text}' here", hint)


def path_of(text: str) -> Path | None:
    """The file of the spec that a user names; None for ``-`` and for unknown names."""
    if text == "-":
        return None
    is_path = _looks_like_path(text) or os.path.isfile(text)
    return Path(text) if is_path else _bundled().get(text)


def _looks_like_path(text: str) -> bool:
    return os.sep in text or text.endswith((".yaml", ".yml"))


def _unknown(text: str) -> UsageError:
    return UsageError(
        f"there is no bundled layer and no file called '{text}'",
        _alike(text) or "`gradtool specs` lists the bundled layers",
    )


def _alike(text: str) -> str:
    """The hint for an unknown layer: its near miss, or the layers that share most words with it."""
    words = set(text.casefold().replace("-", "_").split("_"))
    shared = {name: len(words & set(name.split("_"))) for name in _bundled()}
    most = max(shared.values())
    near = did_you_mean(text, _bundled())
    if near or not most:
        return near
    found = sorted(name for name, count in shared.items() if count == most)
    listed = ", ".join(found[:6]) + (", …" if len(found) > 6 else "")
    return f"bundled with a like name: {listed}; `gradtool specs` lists all"


def finder(spec: LayerSpec) -> Finder:
    """How a spec finds others that it uses: beside itself, then among the bundled ones."""
    return Finder(Path(spec.source.file).parent)


class Finder:
    """Looks a spec up by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: dict[str, LayerSpec | None] = {}
        self.used: tuple[str, ...] = ()  # known from an earlier run, not looked up yet

    def __call__(self, name: str) -> LayerSpec | None:
        if name not in self.seen:
            self.seen[name] = self._find(name)
        return self.seen[name]

    def path(self, name: str) -> Path | None:
        """The file of a spec."""
        beside = self.folder / f"{name}.yaml"
        return beside if beside.is_file() else _bundled().get(name)

    def _find(self, name: str) -> LayerSpec | None:
        from gradtool.spec.load import load_path

        path = self.path(name)
        return None if path is None else load_path(path)

    @property
    def texts(self) -> list[str]:
        """The contents of all specs that were found: part of a cache key."""
        for name in self.used:
            self(name)
        return [spec.text for spec in self.seen.values() if spec is not None]


__all__ = ["Finder", "SpecError", "finder", "load"]
