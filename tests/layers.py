"""The bundled layers, derived once in a process for all tests that read them."""

from __future__ import annotations

from functools import cache

from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.load import load_path
from gradtool.spec.model import LayerSpec

BUNDLED = bundled_specs()


@cache
def bundled(name: str) -> DerivedReference:
    return reference_for(load_path(BUNDLED[name]), _find)


def _find(name: str) -> LayerSpec | None:
    return load_path(BUNDLED[name]) if name in BUNDLED else None
