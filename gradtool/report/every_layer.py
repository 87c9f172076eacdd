"""The layers that come with gradtool, for matching: read once, derived only when found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from gradtool.check.matching import Layers
from gradtool.check.reference import Reference
from gradtool.ir.errors import UnsupportedError
from gradtool.numeric.plain import plain_forward
from gradtool.report import library, plans
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.errors import SpecError
from gradtool.spec.load import load_path, load_text
from gradtool.spec.model import LayerSpec

# What code writes for eps where it is no argument.
_EPS = ("1e-8", "1e-5", "1e-6", "1e-7", "1e-3", "1e-4", "1e-10", "1e-12", "0.0")


def bundled_layers(seed: int) -> tuple[Layers, Callable[[LayerSpec], Reference]]:
    """Every bundled layer's forward, and what gives a layer with its backward."""
    forwards: list[Reference] = []
    for path in bundled_specs().values():
        with suppress(SpecError, UnsupportedError):  # `gradtool derive` tells what is wrong
            spec = load_path(path)
            forwards.append(plain_forward(spec, library.finder(spec)))
    known: dict[str, Reference] = {}

    def reference(spec: LayerSpec) -> Reference:
        if spec.text not in known:
            known[spec.text] = plans.reference_of(spec, library.finder(spec))
        return known[spec.text]

    return Layers(forwards, seed, _varied), reference


def _varied(reference: Reference) -> Iterator[Reference]:
    """The layer with each usual eps, by changing that line of its spec."""
    spec = reference.spec
    old = next((line for line in spec.text.splitlines() if line.startswith("  eps: ")), None)
    for value in _EPS if old else ():
        text = spec.text.replace(f"{old}\n", f"  eps: {value}\n")
        with suppress(SpecError, UnsupportedError):
            changed = load_text(text, spec.source.file)
            if changed.constants != spec.constants:
                yield plain_forward(changed, library.finder(changed))
