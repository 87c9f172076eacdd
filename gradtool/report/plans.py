"""Derived layers between runs: what a check needs, without reading YAML or deriving anything.

An entry is found by the text of the spec; it names the specs that this one uses, with what their
texts were.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from gradtool.ir.store import Packed, StoreError, classes_of, pack, unpack
from gradtool.numeric.plan import Plan, error_function, from_data, to_data
from gradtool.numeric.reference import DerivedReference
from gradtool.records import Struct, replace
from gradtool.report import cache, library, shipped
from gradtool.spec import model
from gradtool.spec.model import LayerSpec, Source

if TYPE_CHECKING:
    from gradtool.report.library import Finder

_MODELS: dict[str, type] = {}


class Kept(Struct, frozen=True):
    """More data of one layer, such as what a diagnosis derives; see `DerivedReference.store`."""

    key: str

    def get(self, kind: str) -> Packed | None:
        entry = cache.read(f"{self.key}-{kind}")
        nodes = entry.get("nodes") if entry else None
        return nodes if isinstance(nodes, list) else None

    def put(self, kind: str, nodes: Packed) -> None:
        cache.write(f"{self.key}-{kind}", {"nodes": nodes})


def reference(typed: str) -> DerivedReference:
    """The layer that a user names.

    Raises:
        UsageError: there is no such bundled layer and no such file.
        SpecError: the file is no valid spec.
        UnsupportedError: a construct that is refused.
    """
    path = library.path_of(typed)
    text = _text(path) if path is not None else None
    if path is not None and text is not None:
        find = library.Finder(path.parent)
        known = _known(text, find)
        if known is not None:
            spec, plan = known
            here = Source(str(path), tuple(text.split("\n")))
            return DerivedReference(replace(spec, source=here), plan, find, Kept(_key(text)))
    spec = library.load(typed)
    return reference_of(spec, library.finder(spec))


def reference_of(spec: LayerSpec, find: Finder) -> DerivedReference:
    """A layer that was read already; `find` has seen every spec that it uses afterwards.

    Raises:
        SpecError: the forward pass has mistakes.
        UnsupportedError: a construct that is refused.
    """
    from gradtool.numeric.plan import plan_of

    known = _known(spec.text, find)
    if known is not None:
        return DerivedReference(spec, known[1], find, Kept(_key(spec.text)))
    plan = plan_of(spec, find)
    entry = _entry(spec, plan, find)
    if entry is not None:
        cache.write(_key(spec.text), entry)
    return DerivedReference(spec, plan, find, Kept(_key(spec.text)))


def described(spec: LayerSpec, find: Finder, erf: str) -> dict[str, Any] | None:
    """A derived layer as what is kept of it; None where it cannot be kept.

    Raises:
        SpecError, UnsupportedError: as `reference_of` does.
    """
    from gradtool.numeric.plan import plan_of

    return _entry(spec, plan_of(spec, find, erf), find)


def _entry(spec: LayerSpec, plan: Plan, find: Finder) -> dict[str, Any] | None:
    uses = {n: _digest(s.text) for n, s in find.seen.items() if s is not None}
    try:
        return {"spec": pack(spec), "uses": uses, "plan": to_data(plan)}
    except StoreError:
        return None


def _known(text: str, find: Finder) -> tuple[LayerSpec, Plan] | None:
    """What is kept for the text of a spec, when the specs that it uses are the same still."""
    entry = shipped.entry(text) or cache.read(_key(text))
    if entry is None:
        return None
    try:
        for name, digest in entry["uses"].items():
            path = find.path(name)
            if path is None or _digest(_text(path) or "") != digest:
                return None
        _MODELS.update(_MODELS or classes_of(model) | _dims())
        spec = unpack(entry["spec"], _MODELS)
        if not isinstance(spec, LayerSpec):
            return None
        plan = from_data(entry["plan"])
    except (StoreError, AttributeError, KeyError, TypeError, ValueError):
        return None  # a damaged entry is a miss
    find.used = tuple(entry["uses"])
    return spec, plan


def _dims() -> dict[str, type]:
    from gradtool.ir import dims

    return classes_of(dims)


def _key(text: str) -> str:
    return cache.key(["plan", error_function(), text])


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def build(names: Iterable[str], progress: TextIO) -> int:
    """Derive every layer that is not kept yet; 2 when nothing can be kept."""
    if cache.folder() is None:
        print("there is no cache: GRADTOOL_CACHE switches it off", file=progress)
        return 2
    for name in names:
        reference(name)
        print(name, file=progress)
    return 0


def pack_into(folder: Path, names: Iterable[str]) -> int:
    """Write the plans of bundled layers as a wheel holds them; how many there are."""
    count = 0
    for name in names:
        spec = library.load(name)
        # The error function of the standard library: nobody knows whether SciPy will be there.
        made = described(spec, library.finder(spec), "math")
        if made is not None:
            text = json.dumps(made, separators=(",", ":"), sort_keys=True)
            (folder / shipped.file_name(spec.text)).write_text(text + "\n", encoding="utf-8")
            count += 1
    return count
