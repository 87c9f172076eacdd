"""The points at which a layer is checked: sizes, values, and an upstream gradient for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gradtool.check.bind import Binding
from gradtool.check.reference import Reference

_BYTES_PER_ENTRY = 8
_SLACK = 1 << 20  # a wrong shape is better shown than refused


@dataclass(frozen=True, slots=True)
class Probe:
    """One point.

    Attributes:
        sizes: the dimensions; `env` adds the integer constants, as shapes need them.
        values: every input and parameter that the judge draws.
        upstream: the upstream gradient of each output by the output's name.
        scalars: sizes and constants, as the snippets see them.
    """

    number: int
    sizes: Mapping[str, int]
    env: Mapping[str, int]
    values: Mapping[str, np.ndarray]
    upstream: Mapping[str, np.ndarray]
    scalars: Mapping[str, int | float]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What the worker gets: the values, and upstream gradients under ``d<output>``."""
        return {**self.values, **{f"d{name}": value for name, value in self.upstream.items()}}

    @property
    def max_bytes(self) -> int:
        entries = sum(array.size for array in self.arrays.values())
        return _SLACK + 4 * _BYTES_PER_ENTRY * entries


def probes(reference: Reference, binding: Binding, seed: int) -> Iterator[Probe]:
    """A probe for each size set; the same seed gives the same probes, one by one."""
    for number, sizes in enumerate(reference.size_sets()):
        yield make_probe(reference, binding, sizes, number, seed)


def make_probe(
    reference: Reference, binding: Binding, sizes: Mapping[str, int], number: int, seed: int
) -> Probe:
    """The probe of one size set."""
    rng = np.random.default_rng([seed, number])
    read = {v.name for v in reference.spec.variables if v.read}
    drawn = reference.sample(sizes, rng)
    values = {name: value for name, value in drawn.items() if name not in read}
    constants = reference.constants
    integers = {name: value for name, value in constants.items() if isinstance(value, int)}
    env = {**integers, **sizes}
    upstream = {name: _upstream(name, reference, binding, env, rng) for name in reference.outputs}
    return Probe(number, sizes, env, values, upstream, {**constants, **sizes})


def _upstream(
    name: str,
    reference: Reference,
    binding: Binding,
    env: Mapping[str, int],
    rng: np.random.Generator,
) -> np.ndarray:
    shape = tuple(dim.evaluate(env) for dim in reference.output_shapes[name])
    # A loss is differentiated as it is, unless the binding takes part in a longer chain.
    if not shape and len(reference.outputs) == 1 and not binding.mentions(f"d{name}"):
        return np.ones(())
    if binding.upstream == "ones":
        return np.ones(shape) * binding.upstream_scale
    if binding.upstream == "one-hot" and shape:
        chosen = rng.integers(shape[-1], size=shape[:-1])
        hot: np.ndarray = (np.arange(shape[-1]) == chosen[..., None]).astype(float)
        return hot * binding.upstream_scale
    return np.asarray(rng.standard_normal(shape)) * binding.upstream_scale
