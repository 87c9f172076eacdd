"""A layer's forward pass alone: enough to recognise code that computes it, and cheap to have.

Nothing is derived.  `gradtool check FILE` tries many layers on each function of a file, and
derives only those that it has found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from gradtool.ir.dims import Dim
from gradtool.ir.graph import Graph
from gradtool.numeric.arithmetic import Double
from gradtool.numeric.draw import draw
from gradtool.numeric.grid import run
from gradtool.numeric.kinks import Closest
from gradtool.numeric.sample import setting_for
from gradtool.numeric.settings import Setting, settings, small_settings
from gradtool.numeric.shake import Arrays, Shake
from gradtool.records import Struct
from gradtool.spec.forward import graph_of
from gradtool.spec.model import LayerSpec

Array = np.ndarray[Any, Any]


class PlainForward(Struct, frozen=True, dict=True):
    """A `gradtool.check.reference.Reference` without a backward pass.

    Raises in `evaluate`: NotImplementedError.
    """

    spec: LayerSpec
    graph: Graph

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

    def forward(self, values: Arrays, sizes: Mapping[str, int | float]) -> dict[str, Array]:
        """Every output by name, as a float64 array."""
        setting = setting_for(self.graph, _whole(sizes), Double())
        with np.errstate(all="ignore"):
            known = run(self.graph.statements, values, setting)
        return {name: np.asarray(known[name], dtype=float) for name in self.outputs}

    def evaluate(
        self,
        values: Arrays,
        upstream: Arrays,
        sizes: Mapping[str, int | float],
        *,
        shake: Shake | None = None,
        dtype: str = "",
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        raise NotImplementedError

    def sample(
        self, sizes: Mapping[str, int | float], rng: np.random.Generator
    ) -> dict[str, Array]:
        """Every input and parameter; a forward pass is not harmed by kinks."""
        return {k: np.asarray(v) for k, v in draw(self.spec, _whole(sizes), rng).items()}

    def kinks(self, values: Arrays, sizes: Mapping[str, int | float]) -> Closest:
        return Closest()

    def settings(self) -> tuple[Setting, ...]:
        """Small sizes."""
        return self._settings

    @cached_property
    def _settings(self) -> tuple[Setting, ...]:
        return small_settings(self.graph, self.spec.sizes)

    def every_setting(self) -> tuple[Setting, ...]:
        """Those of a layer that is checked, the small ones first."""
        return settings(self.graph, self.spec.sizes)


def _whole(sizes: Mapping[str, int | float]) -> dict[str, int]:
    return {name: size for name, size in sizes.items() if isinstance(size, int)}


def plain_forward(
    spec: LayerSpec, find: Callable[[str], LayerSpec | None] | None = None
) -> PlainForward:
    """The forward pass of a spec.

    Raises:
        SpecError: it has mistakes.
        UnsupportedError: a construct that is refused.
    """
    return PlainForward(spec, graph_of(spec, find))
