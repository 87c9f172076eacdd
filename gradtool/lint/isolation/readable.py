"""What a worker may read and import: the interpreter and the libraries of the assignment.

Not the folder of installed packages as a whole, in which gradtool, its references and every
autodiff framework live: a library is granted by name, and nothing else can be imported.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from gradtool.lint.isolation.layers.base import Opened, opened

PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})
FILES_OF_THE_SYSTEM = (
    "/dev/urandom",
    "/dev/random",
    "/dev/zero",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
)


class GrantedLibraries:
    """A finder for `sys.meta_path` that knows the granted top-level names, each found before."""

    def __init__(self, specs: dict[str, ModuleSpec]) -> None:
        self._specs = specs

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a granted library, else None. What is inside it, the usual finder finds."""
        return self._specs.get(fullname) if path is None else None


def library_specs(names: Iterable[str]) -> dict[str, ModuleSpec]:
    """Where the libraries are, as far as they are installed."""
    found = {name: find_spec(name) for name in names}
    return {name: spec for name, spec in found.items() if spec is not None}


def imported_specs(ours: Iterable[str]) -> dict[str, ModuleSpec]:
    """The packages that were imported so far, but for the standard library and `ours`.

    A library may load more of what it depends on later, so that is granted with it.
    """
    hidden = {*ours, *sys.stdlib_module_names, "__main__"}
    found = {name: getattr(module, "__spec__", None) for name, module in sys.modules.items()}
    return {
        name: spec
        for name, spec in found.items()
        if isinstance(spec, ModuleSpec) and "." not in name and name not in hidden
    }


def library_paths(specs: dict[str, ModuleSpec]) -> list[Path]:
    """The files of the libraries; a wheel keeps its shared objects in a folder beside it."""
    paths: list[Path] = []
    for name, spec in specs.items():
        folders = [Path(place) for place in spec.submodule_search_locations or ()]
        paths += folders or ([Path(spec.origin)] if spec.origin else [])
        paths += [folder.with_name(f"{name}.libs") for folder in folders]
    return paths


def interpreter_paths() -> list[str]:
    """The standard library without the packages that are installed inside its folder; no links."""
    roots = {os.path.realpath(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib")}
    return [
        os.path.realpath(entry) if entry.is_symlink() else entry.path
        for root in roots
        if os.path.isdir(root)
        for entry in os.scandir(root)
        if entry.name not in PACKAGE_FOLDERS
    ]


def shared_object_paths(hidden: Iterable[str]) -> list[Path]:
    """Folders from which this process has loaded shared objects: more may come from there.

    But for those of the packages of these names.

    A folder that holds packages further down (lib, beside lib/python3.x/site-packages) is
    granted file by file.
    """
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return []
    words = (line.split(maxsplit=5) for line in maps.splitlines())
    files = {Path(word[5]) for word in words if len(word) == 6 and ".so" in word[5]}
    packages = [Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib", "stdlib")]
    paths: list[Path] = []
    for folder in {file.parent for file in files}.difference(library_paths(library_specs(hidden))):
        if any(folder == package or folder in package.parents for package in packages):
            paths += folder.glob("*.so*")
        else:
            paths.append(folder)
    return paths


def open_system(specs: dict[str, ModuleSpec], hidden: Iterable[str]) -> tuple[Opened, ...]:
    """Open all of it, but no package of a `hidden` name, for the layer that grants it to each
    worker; empty except on Linux.
    """
    if sys.platform != "linux":
        return ()
    system = [Path(file) for file in FILES_OF_THE_SYSTEM]
    others = [*shared_object_paths(hidden), *library_paths(specs), *system]
    readable = {*interpreter_paths(), *map(os.path.realpath, others)}
    stdlib = Path(sysconfig.get_path("stdlib"))
    granted = [opened(Path(path)) for path in _outermost(readable)]
    return (*granted, opened(stdlib.resolve(), "list"), opened(Path("/dev/null"), "write"))


def _outermost(paths: Iterable[str]) -> list[str]:
    """A rule holds for all below it, so what lies below another path needs none."""
    existing = {path for path in paths if os.path.exists(path)}
    return [path for path in existing if existing.isdisjoint(_above(path))]


def _above(path: str) -> Iterator[str]:
    """The folders that a path lies in."""
    while (above := os.path.dirname(path)) != path:
        yield above
        path = above


def importable_afterwards() -> list[str]:
    """What stays on the import path of a worker: the standard library, without packages."""
    stdlib = sysconfig.get_path("stdlib")
    return [
        place
        for place in sys.path
        if place.startswith(stdlib) and not PACKAGE_FOLDERS & set(Path(place).parts)
    ]
