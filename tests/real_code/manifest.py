"""The manifest of cases on public code: where they lie, what they are, what is said of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from gradtool.records import Struct, asdict, field

HERE = Path(__file__).parent
SPECS = HERE / "specs"
VERDICTS = (
    "right",
    "right-scale",
    "right-shape",
    "right-contract",
    "wrong",
    "crash",
    "not-runnable",
)


class Case(Struct, frozen=True):
    """One layer of one file.

    Attributes:
        repository, commit, path: where the code lies.
        layer: what it implements, as the list calls it.
        function: the function or class that is checked.
        specs: names of specs in `specs/`, or of layers that come with gradtool; of several (two
            courses disagree on a factor in the penalty) the first whose forward is the code's.
        listed: the verdict of the list; `why` is the mistake that the list gives.
        disputed: why the listed verdict is not right; then `really` is the right one.
        python: 2 for code that is Python 2 although its syntax does not show it.
    """

    repository: str
    commit: str
    path: str
    layer: str
    function: str
    specs: tuple[str, ...]
    listed: str = "right"
    why: str = ""
    disputed: str = ""
    really: str = ""
    python: int = 3

    @property
    def folder(self) -> str:
        return self.repository.replace("/", "+")

    @property
    def verdict(self) -> str:
        """What gradtool should say."""
        return self.really or self.listed

    @property
    def key(self) -> str:
        """Another one when the case or one of its specs changes."""
        texts = [str(sorted(asdict(self).items()))]
        texts += [path.read_text("utf-8") for s in self.specs if (path := own(s)).exists()]
        return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


class Manifest(Struct, frozen=True):
    """Every case, and the ones of the list that have no spec, with the reason."""

    cases: tuple[Case, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)


def own(name: str) -> Path:
    """The file of a spec of this folder, which need not exist."""
    return SPECS / f"{name}.yaml"


def load(path: Path = HERE / "cases.yaml") -> Manifest:
    """Read a manifest.

    Raises:
        ValueError: an entry is not a case.
    """
    data = yaml.load(path.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    cases = tuple(case for name, found in data.items() for case in _cases(name, found))
    left_out = {name: found["left out"] for name, found in data.items() if "left out" in found}
    return Manifest(cases, left_out)


def _cases(repository: str, found: Mapping[str, Any]) -> Iterator[Case]:
    for path, entries in found.get("files", {}).items():
        for entry in entries:
            fields = dict(entry)
            names = fields.pop("spec")
            specs = (names,) if isinstance(names, str) else tuple(names)
            try:
                case = Case(repository, found["commit"], path, specs=specs, **fields)
            except TypeError as error:
                raise ValueError(f"{repository} {path}: {entry}: {error}") from None
            if case.listed not in VERDICTS or (case.really or "right") not in VERDICTS:
                raise ValueError(f"{repository} {path}: {entry}: no such verdict")
            yield case
