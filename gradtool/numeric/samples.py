"""The samples of a certification: ordinary ones, and those that a mistake could hide in."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from gradtool.numeric.arithmetic import HighPrecision
from gradtool.numeric.draw import draw
from gradtool.numeric.grid import Setting
from gradtool.records import Struct, replace
from gradtool.spec.model import LayerSpec, Variable


class Sample(Struct, frozen=True):
    """A point at which both derivatives are compared.

    Attributes:
        seed: of the values, the upstream gradient and the direction.
        factor: by which inputs without bounds are larger than usual.
        zeros: inputs of which some entries are exactly zero, or the only one.
        all_zero: whether all of their entries are.
        moved: whether real constants have other values than the spec says; a formula prints
            their names, so it holds for all.
        eighths: inputs without a domain are multiples of 1/8: sums of products can be equal then.
        moved_to: an entry of an input, and its value here.
    """

    sizes: Mapping[str, int]
    seed: int
    factor: float = 1.0
    zeros: frozenset[str] = frozenset()
    all_zero: bool = False
    moved: bool = False
    eighths: bool = False
    moved_to: tuple[str, tuple[int, ...], float] | None = None

    def drawn(self, spec: LayerSpec, rng: np.random.Generator) -> dict[str, Any]:
        """Values in double precision."""
        values: dict[str, Any] = dict(draw(spec, self.sizes, rng))
        for variable in spec.variables:
            if variable.dtype == "real":
                values[variable.name] = self._changed(variable, values[variable.name], rng)
        return values

    def _changed(self, variable: Variable, values: Any, rng: np.random.Generator) -> Any:
        kind = variable.domain.kind
        if self.factor != 1 and kind in ("real", "positive", "nonnegative"):
            values = values * self.factor
        if self.eighths and kind == "real":
            values = np.round(values * 8) / 8
        if variable.name in self.zeros:
            zero = np.asarray(rng.random(values.shape) < 0.3)
            # Of a few entries chance may take none, or all.
            one, *others = rng.permutation(values.size)[:2]
            zero.flat[one], zero.flat[others] = True, False
            values = np.where(zero | self.all_zero, 0.0, values)
        if self.moved_to is not None and variable.name == self.moved_to[0]:
            values = np.array(values)
            values[self.moved_to[1]] = self.moved_to[2]
        return values

    @staticmethod
    def at_zero(spec: LayerSpec) -> tuple[str, ...]:
        """The inputs that may be zero."""
        return tuple(
            variable.name
            for variable in spec.variables
            if variable.dtype == "real" and variable.domain.kind in ("real", "nonnegative")
        )

    def setting(self, setting: Setting) -> Setting:
        """The setting with the constants of this sample."""
        if not self.moved or not setting.numbers:
            return setting
        numbers = {n: v * Fraction(3, 4) or Fraction(1, 4) for n, v in setting.numbers.items()}
        return replace(setting, numbers=numbers)


def in_precision(
    spec: LayerSpec, drawn: Mapping[str, Any], arithmetic: HighPrecision
) -> dict[str, Any]:
    """Drawn values with the real ones in high precision."""
    exact = np.frompyfunc(arithmetic.mp.mpf, 1, 1)
    values: dict[str, Any] = {}
    for variable in spec.variables:
        array = drawn[variable.name]
        values[variable.name] = (
            np.asarray(exact(array), dtype=object) if variable.dtype == "real" else array
        )
        if variable.domain.kind == "probabilities":
            # Exactly one in this precision too: a derivation may rely on it.
            total = np.asarray(values[variable.name].sum(axis=-1, keepdims=True), dtype=object)
            values[variable.name] = values[variable.name] / total
    return values
