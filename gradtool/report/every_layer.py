"""The layers that come with gradtool, for matching: read once, derived only when found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from itertools import product

from gradtool.check.reference import Reference
from gradtool.check.trying import Layers
from gradtool.check.words import canonical
from gradtool.ir.errors import UnsupportedError
from gradtool.numeric.plain import plain_forward
from gradtool.report import library, plans
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.errors import SpecError
from gradtool.spec.load import load_path, load_text
from gradtool.spec.model import LayerSpec

# What code writes for eps, and for strides and windows, where they are no arguments.
_EPS = ("1e-8", "1e-5", "1e-6", "1e-7", "1e-3", "1e-4", "1e-10", "1e-12", "0.0")
_COUNTS, _PADS = ("1", "2", "3"), ("0", "1", "2")


def bundled_layers(seed: int) -> tuple[Layers, Callable[[LayerSpec], Reference]]:
    """Every bundled layer's forward, and what gives a layer with its backward."""
    known: dict[str, Reference] = {}

    def reference(spec: LayerSpec) -> Reference:
        if spec.text not in known:
            known[spec.text] = plans.reference_of(spec, library.finder(spec))
        return known[spec.text]

    return Layers(_forwards(), seed, _varied), reference


@cache
def _forwards() -> tuple[Reference, ...]:
    forwards: list[Reference] = []
    for path in bundled_specs().values():
        with suppress(SpecError, UnsupportedError):  # `gradtool derive` tells what is wrong
            spec = load_path(path)
            forwards.append(plain_forward(spec, library.finder(spec)))
    return tuple(forwards)


def _varied(reference: Reference, free: Collection[str]) -> Iterator[Reference]:
    """The layer with other values of the constants in `free`, by changing those lines of its spec.

    Of eps the usual ones; of whole constants, a stride or a padding, the small ones.
    """
    constants = reference.spec.constants
    if "eps" in free and "eps" in constants:
        yield from _changed(reference, ({"eps": value} for value in _EPS))
    whole = [n for n, v in constants.items() if isinstance(v, int) and n in free]
    choices = [_PADS if canonical(name) == "pad" else _COUNTS for name in whole]
    yield from _changed(
        reference, (dict(zip(whole, found, strict=True)) for found in product(*choices) if found)
    )


def _changed(reference: Reference, choices: Iterable[Mapping[str, str]]) -> Iterator[Reference]:
    spec = reference.spec
    lines = spec.text.splitlines()
    for choice in choices:
        text = "\n".join(_replaced(line, choice) for line in lines) + "\n"
        with suppress(SpecError, UnsupportedError):
            changed = load_text(text, spec.source.file)
            if changed.constants != spec.constants:
                yield plain_forward(changed, library.finder(changed))


def _replaced(line: str, choice: Mapping[str, str]) -> str:
    name, colon, _ = line.strip().partition(": ")
    indented = line.startswith("  ") and not line.startswith("   ")
    return f"  {name}: {choice[name]}" if indented and colon and name in choice else line
