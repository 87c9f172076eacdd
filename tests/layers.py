"""The bundled layers, derived once in a process for all tests that read them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from gradtool.check.every import check_every
from gradtool.check.pair import check_pair
from gradtool.check.process import Worker
from gradtool.check.reference import Reference
from gradtool.check.result import Verdict
from gradtool.check.trying import Layers
from gradtool.check.wanted import EVERYTHING
from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.report.every_layer import bundled_layers
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.load import load_path, load_text
from gradtool.spec.model import LayerSpec

BUNDLED = bundled_specs()


@cache
def bundled(name: str) -> DerivedReference:
    return reference_for(load_path(BUNDLED[name]), _find)


@cache
def every_layer() -> tuple[Layers, Callable[[LayerSpec], Reference]]:
    """All of them for matching, as `gradtool check FILE` tries them."""
    return bundled_layers(0)


@cache
def written(name: str, body: str) -> DerivedReference:
    """The layer of a spec that consists of this text but for its name."""
    return reference_for(load_text(f"layer: {name}\n{body}\n", f"{name}.yaml"))


def verdict_on(
    reference: Reference,
    folder: Path,
    text: str,
    *,
    seed: int = 0,
    seconds: float = 10,
    explain: bool = False,
) -> Verdict:
    """What the judge says of a file with this text, held to one layer."""
    file = folder / "hw.py"
    file.write_text(text)
    return check_pair(
        reference, file, seed=seed, version="", seconds=seconds, explain=explain
    ).verdict


def verdicts(folder: Path, text: str) -> list[Verdict]:
    """What `gradtool check FILE` alone says of a file with this text, without causes."""
    file = folder / "layers.py"
    file.write_text("import numpy as np\n" + text)
    worker = Worker(folder, 20)
    found = check_every(
        file,
        *every_layer(),
        EVERYTHING,
        seed=0,
        version="",
        seconds=20,
        worker=worker,
        explain=False,
    )
    return list(found)


def _find(name: str) -> LayerSpec | None:
    return load_path(BUNDLED[name]) if name in BUNDLED else None
