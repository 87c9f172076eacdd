"""The bundled layers, derived once in a process for all tests that read them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from gradtool.check.every import check_every
from gradtool.check.process import Worker
from gradtool.check.reference import Reference
from gradtool.check.result import Verdict
from gradtool.check.trying import Layers
from gradtool.check.wanted import EVERYTHING
from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.report.every_layer import bundled_layers
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.load import load_path
from gradtool.spec.model import LayerSpec

BUNDLED = bundled_specs()


@cache
def bundled(name: str) -> DerivedReference:
    return reference_for(load_path(BUNDLED[name]), _find)


@cache
def every_layer() -> tuple[Layers, Callable[[LayerSpec], Reference]]:
    """All of them for matching, as `gradtool check FILE` tries them."""
    return bundled_layers(0)


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
