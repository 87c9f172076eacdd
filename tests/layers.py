"""The bundled layers, derived once in a process for all tests that read them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from gradtool.check.reference import Reference
from gradtool.check.trying import Layers
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


def _find(name: str) -> LayerSpec | None:
    return load_path(BUNDLED[name]) if name in BUNDLED else None
