"""What the judge compares with: a layer's forward and derived backward pass, and how to sample it.

Everything is derived and compiled once, when the reference is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradtool.derive.derivation import derive
from gradtool.ir.dims import Dim
from gradtool.ir.graph import Graph
from gradtool.numeric.compile import Compiled, compile_layer
from gradtool.numeric.kinks import GAP, close_kink
from gradtool.numeric.sample import draw, size_sets
from gradtool.spec.forward import graph_of
from gradtool.spec.model import LayerSpec

Array = np.ndarray[Any, Any]

_TRIES = 200


class SamplingError(Exception):
    """No sample was found that keeps away from the kinks of a layer."""


@dataclass(frozen=True, slots=True)
class DerivedReference:
    """A layer that can be evaluated; implements `gradtool.check.reference.Reference`.

    Attributes:
        graph: the forward pass, with the selectors that the backward pass needs.
        compiled: the emitted module.
    """

    spec: LayerSpec
    graph: Graph
    compiled: Compiled

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.graph.outputs

    @property
    def output_shapes(self) -> Mapping[str, tuple[Dim, ...]]:
        return {name: self.graph.tensors[name].shape for name in self.graph.outputs}

    @property
    def constants(self) -> Mapping[str, int | float]:
        return {
            name: value if isinstance(value, int) else float(value)
            for name, value in self.spec.constants.items()
        }

    def forward(self, values: Mapping[str, Array], sizes: Mapping[str, int]) -> dict[str, Array]:
        """Every output by name, as an array."""
        return self._forward(values, sizes)[0]

    def backward(
        self,
        values: Mapping[str, Array],
        upstream: Mapping[str, Array],
        sizes: Mapping[str, int],
    ) -> dict[str, Array]:
        """The gradient of every differentiable variable by name, each an array of its own."""
        _, cache = self._forward(values, sizes)
        given = [upstream[name] for name in self.outputs]
        if len(given) == 1 and not self.output_shapes[self.outputs[0]]:
            given = [np.asarray(given[0])[()]]
        found = self.compiled.backward(given[0] if len(given) == 1 else tuple(given), cache)
        pairs = zip(self.graph.wanted, found, strict=True)
        return {name: np.array(gradient) for name, gradient in pairs}

    def _forward(
        self, values: Mapping[str, Array], sizes: Mapping[str, int]
    ) -> tuple[dict[str, Array], Any]:
        arguments = [values[variable.name] for variable in self.spec.variables]
        keywords = {name: sizes[name] for name in self.compiled.sizes}
        made, cache = self.compiled.forward(*arguments, **keywords)
        several = made if len(self.outputs) > 1 else (made,)
        return {
            name: np.asarray(value) for name, value in zip(self.outputs, several, strict=True)
        }, cache

    def sample(self, sizes: Mapping[str, int], rng: np.random.Generator) -> dict[str, Array]:
        """Every input and parameter, redrawn until no comparison of the forward pass is close.

        Raises:
            SamplingError: with what stays close to a kink.
        """
        kink = ""
        for attempt in range(_TRIES):
            # A network with thousands of relus always has one that is nearly zero.
            gap = GAP / 2 ** (attempt // 20)
            values = {k: np.asarray(v) for k, v in draw(self.spec, sizes, rng).items()}
            kink = close_kink(self.graph, values, sizes, gap)
            if not kink:
                return values
        raise SamplingError(
            f"{self.spec.name}: in each of {_TRIES} samples something lay too close to a kink, "
            f"lastly {kink}; give the inputs a domain: that keeps them apart"
        )

    def size_sets(self) -> tuple[dict[str, int], ...]:
        """Two sets of distinct sizes, then the square one and the one of ones."""
        return size_sets(self.graph, self.spec.sizes)


def reference_for(
    spec: LayerSpec, find: Callable[[str], LayerSpec | None] | None = None
) -> DerivedReference:
    """Derive and compile a layer.

    Raises:
        SpecError: the forward pass has mistakes.
        UnsupportedError: a construct that is refused.
    """
    derivation = derive(graph_of(spec, find))
    return DerivedReference(spec, derivation.graph, compile_layer(spec, derivation))
