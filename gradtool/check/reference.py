"""What the judge must know of a layer: its forward and backward pass, and how to sample it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from gradtool.ir.dims import Dim
from gradtool.spec.model import LayerSpec


class Reference(Protocol):
    """A layer that can be evaluated.  Every method is pure.

    Attributes:
        spec: the layer; its variables give names, shapes and what is differentiated.
        outputs: names in order; a single output of shape () is a loss.
        output_shapes: the symbolic shape of each output.
        constants: the numbers named by the spec.
    """

    @property
    def spec(self) -> LayerSpec: ...

    @property
    def outputs(self) -> tuple[str, ...]: ...

    @property
    def output_shapes(self) -> Mapping[str, tuple[Dim, ...]]: ...

    @property
    def constants(self) -> Mapping[str, int | float]: ...

    def forward(
        self, values: Mapping[str, np.ndarray], sizes: Mapping[str, int]
    ) -> dict[str, np.ndarray]:
        """Every output by name."""

    def backward(
        self,
        values: Mapping[str, np.ndarray],
        upstream: Mapping[str, np.ndarray],
        sizes: Mapping[str, int],
    ) -> dict[str, np.ndarray]:
        """The gradient of every differentiable variable by name, in the variable's shape.

        `upstream` holds the upstream gradient of each output by the output's name.
        """

    def sample(self, sizes: Mapping[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Every input and parameter: float64, int64 (labels) or bool; away from kinks."""

    def size_sets(self) -> tuple[dict[str, int], ...]:
        """The sizes to check at, pairwise distinct ones first."""
