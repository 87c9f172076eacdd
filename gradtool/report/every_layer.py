"""The layers that come with gradtool, for matching: read once, derived only when found."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache

from gradtool.check.matching import Layers
from gradtool.check.reference import Reference
from gradtool.ir.errors import UnsupportedError
from gradtool.numeric.plain import plain_forward
from gradtool.report import library, plans
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.errors import SpecError
from gradtool.spec.load import load_path


def bundled_layers(seed: int) -> tuple[Layers, Callable[[str], Reference]]:
    """Every bundled layer's forward, and what gives a layer with its backward by name."""
    specs = {}
    forwards: list[Reference] = []
    for path in bundled_specs().values():
        with suppress(SpecError, UnsupportedError):  # `gradtool derive` tells what is wrong
            spec = load_path(path)
            forwards.append(plain_forward(spec, library.finder(spec)))
            specs[spec.name] = spec

    @cache
    def reference(name: str) -> Reference:
        return plans.reference_of(specs[name], library.finder(specs[name]))

    return Layers(forwards, seed), reference
