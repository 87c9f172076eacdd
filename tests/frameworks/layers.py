"""What the tests of both frameworks share: bundled layers, samples, and emitted modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest

from gradtool.derive.derivation import Derivation, derive
from gradtool.numeric.reference import DerivedReference, reference_for
from gradtool.records import Struct
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_path, load_text
from gradtool.spec.model import LayerSpec

Array = np.ndarray[Any, Any]
PATHS = bundled_specs()
# All tests of a layer run in one process (`--dist loadgroup`), which derives it once.
EVERY = [pytest.param(name, marks=pytest.mark.xdist_group(name), id=name)
         for name in PATHS]  # fmt: skip


def find(name: str) -> LayerSpec | None:
    return load_path(PATHS[name]) if name in PATHS else None


class Layer(Struct, frozen=True):
    """A layer with its derivation and one sample, in double precision.

    Attributes:
        values: every input and parameter, in order.
        upstream: the upstream gradient of each output.
        keywords: sizes that the emitted function cannot read off a shape.
    """

    reference: DerivedReference
    derivation: Derivation
    sizes: dict[str, int]
    values: dict[str, Array]
    upstream: dict[str, Array]

    @property
    def spec(self) -> LayerSpec:
        return self.reference.spec

    @property
    def wanted(self) -> tuple[str, ...]:
        return self.reference.graph.wanted

    @property
    def numbers(self) -> dict[str, float]:
        """Sizes and constants, as the forward text may use them."""
        return {**self.sizes, **self.reference.constants, "pi": np.pi}

    def gradients(self) -> dict[str, Array]:
        """The gradients of the emitted NumPy code."""
        return self.reference.backward(self.values, self.upstream, self.sizes)


@cache
def layer(name: str) -> Layer:
    """A bundled layer."""
    return made(load_path(PATHS[name]))


def layer_of(text: str) -> Layer:
    """A layer of the tests' own."""
    return made(load_text(text, "layer.yaml"))


def made(spec: LayerSpec) -> Layer:
    derivation = derive(graph_of(spec, find))
    reference = reference_for(spec, find)
    sizes = _cheap(reference.size_sets())
    rng = np.random.default_rng(0)
    values = reference.sample(sizes, rng)
    outputs = reference.forward(values, sizes)
    upstream = {name: np.asarray(rng.standard_normal(y.shape)) for name, y in outputs.items()}
    return Layer(reference, derivation, sizes, values, upstream)


def _cheap(sets: tuple[dict[str, int], ...]) -> dict[str, int]:
    """The smaller of the two sets of distinct sizes."""
    return min(sets[:2], key=lambda sizes: sum(sizes.values()))


def compiled_function(text: str, name: str) -> Callable[..., Any]:
    """The function ``layer`` of an emitted module."""
    scope: dict[str, Any] = {"__name__": name}
    exec(compile(text, f"<{name}>", "exec"), scope)  # what gradtool emitted for a bundled spec
    function: Callable[..., Any] = scope["layer"]
    return function


def keywords(function: Callable[..., Any], sizes: Mapping[str, int]) -> dict[str, int]:
    """The sizes that a layer must be told."""
    import inspect

    every = inspect.signature(function).parameters.values()
    return {p.name: sizes[p.name] for p in every
            if p.kind is p.KEYWORD_ONLY and p.default is p.empty}  # fmt: skip
