"""What the judge must know of a layer: its forward and backward pass, and how to sample it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Protocol

import numpy as np

from gradtool.ir.dims import Dim
from gradtool.numeric.kinks import Closest
from gradtool.numeric.settings import Setting
from gradtool.numeric.shake import Arrays, Shake
from gradtool.records import Struct, replace
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

    def forward(self, values: Arrays, sizes: Mapping[str, int | float]) -> dict[str, np.ndarray]:
        """Every output by name."""

    def evaluate(
        self,
        values: Arrays,
        upstream: Arrays,
        sizes: Mapping[str, int | float],
        *,
        shake: Shake | None = None,
        dtype: str = "",
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Every output, and the gradient of every differentiable variable, by name.

        `upstream` holds the upstream gradient of each output by the output's name; `sizes` every
        dimension, and constants that take the place of the spec's.  `shake` moves the values,
        the upstream gradient and what the backward pass reads of the forward pass.  `dtype`
        ("float32" or "longdouble") is that of all reals; the results are float64 or longer.

        Raises:
            TypeError: there is no such arithmetic for the layer.
        """

    def sample(
        self, sizes: Mapping[str, int | float], rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Every input and parameter: float64, int64 (labels) or bool; away from kinks."""

    def kinks(self, values: Arrays, sizes: Mapping[str, int | float]) -> Closest:
        """How close the nearest kink is."""

    def settings(self) -> tuple[Setting, ...]:
        """The sizes to check at, small and pairwise distinct ones first."""


class Reading(Struct, frozen=True):
    """A layer of which some more inputs are read from the code under test."""

    layer: Reference
    names: Collection[str]

    @property
    def spec(self) -> LayerSpec:
        known = self.layer.spec
        variables = [replace(v, read=True) if v.name in self.names else v for v in known.variables]
        return replace(known, variables=tuple(variables))

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.layer.outputs

    @property
    def output_shapes(self) -> Mapping[str, tuple[Dim, ...]]:
        return self.layer.output_shapes

    @property
    def constants(self) -> Mapping[str, int | float]:
        return self.layer.constants

    def forward(self, values: Arrays, sizes: Mapping[str, int | float]) -> dict[str, np.ndarray]:
        return self.layer.forward(values, sizes)

    def evaluate(
        self,
        values: Arrays,
        upstream: Arrays,
        sizes: Mapping[str, int | float],
        *,
        shake: Shake | None = None,
        dtype: str = "",
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        return self.layer.evaluate(values, upstream, sizes, shake=shake, dtype=dtype)

    def sample(
        self, sizes: Mapping[str, int | float], rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        return self.layer.sample(sizes, rng)

    def kinks(self, values: Arrays, sizes: Mapping[str, int | float]) -> Closest:
        return self.layer.kinks(values, sizes)

    def settings(self) -> tuple[Setting, ...]:
        return self.layer.settings()


class Restricted(Reading, frozen=True, dict=True):
    """A layer at some of its sizes only: `one` is 1, and the pairs of `equal` are equal.

    Equal sizes are the smaller of both: a window that fits stays one that does.
    """

    one: str = ""
    equal: tuple[tuple[str, str], ...] = ()

    def settings(self) -> tuple[Setting, ...]:
        return self._settings

    @cached_property
    def _settings(self) -> tuple[Setting, ...]:
        found: dict[tuple[object, ...], Setting] = {}
        for setting in self.layer.settings():
            sizes = dict(setting.sizes)
            if self.one:
                sizes[self.one] = 1
            for first, second in self.equal:
                sizes[first] = sizes[second] = min(sizes[first], sizes[second])
            whole = {
                n: v
                for n, v in {**self.constants, **setting.constants, **sizes}.items()
                if isinstance(v, int)
            }
            shapes = self.output_shapes.values()
            uneven = any(dim.leaves_remainder(whole) for shape in shapes for dim in shape)
            key = (*sizes.items(), *setting.constants.items())
            uneven = uneven if self.equal else setting.uneven
            found.setdefault(key, replace(setting, sizes=sizes, uneven=uneven))
        return tuple(found.values())
