"""The points at which a layer is checked: sizes, values, and an upstream gradient for each.

Each point says what it varies.  Sizes and constants come from the layer's settings; at the first
of them the values are varied, too: large and tiny inputs, large parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from gradtool.check.bind import Binding
from gradtool.check.recall import recall_of
from gradtool.check.reference import Reference
from gradtool.numeric.settings import Setting
from gradtool.records import Struct, replace
from gradtool.spec.model import Variable

_BYTES_PER_ENTRY = 8
_SLACK = 1 << 20  # a wrong shape is better shown than refused
LARGE_INPUTS = "large inputs"
_LARGE, _HUGE, _TINY = 30.0, 3000.0, 1e-3
_LONG = 200  # entries of the longest axis that is tried, which may be 1000
_STEEP = 1024.0  # a power of two: gradients are linear in the upstream gradient, to the last digit
_SCALABLE = frozenset({"real", "positive", "nonnegative", "symmetric"})
NEAR_KINK = 1e-9  # a kink this close is decided by rounding


class Probe(Struct, frozen=True):
    """One point.

    Attributes:
        sizes: the dimensions; `env` adds the integer constants, as shapes need them.
        values: every input and parameter that the judge draws.
        upstream: the upstream gradient of each output by the output's name.
        scalars: sizes and constants, as the snippets see them.
        setting: where the sizes come from; `constants` are those that differ from the spec's.
        scale: how much larger some values are than they were drawn, by name, and upstream
            gradients by ``d<output>``; empty for most.
        varies: what this point is for, in words.
    """

    number: int
    sizes: Mapping[str, int]
    env: Mapping[str, int]
    values: Mapping[str, np.ndarray]
    upstream: Mapping[str, np.ndarray]
    scalars: Mapping[str, int | float]
    setting: Setting
    scale: Mapping[str, float]
    varies: str

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What the worker gets: the values, and upstream gradients under ``d<output>``."""
        return {**self.values, **{f"d{name}": value for name, value in self.upstream.items()}}

    @property
    def max_bytes(self) -> int:
        entries = sum(array.size for array in self.arrays.values())
        return _SLACK + 4 * _BYTES_PER_ENTRY * entries

    @property
    def given(self) -> Mapping[str, int | float]:
        """Sizes and the constants that differ from the spec's, as the reference takes them."""
        return {**self.sizes, **self.setting.constants}

    @property
    def is_long(self) -> bool:
        """Whether an axis is so long that a product or a sum along it may overflow."""
        return max(self.sizes.values(), default=0) >= _LONG

    @property
    def is_huge(self) -> bool:
        """Whether the values are so large that only overflow is looked for."""
        return max(self.scale.values(), default=0.0) >= _HUGE


def probes(reference: Reference, binding: Binding, seed: int) -> Iterator[Probe]:
    """A probe for each setting; the same seed gives the same probes, one by one.

    Other constants are of use only to code that is given them; where it is given some of those
    that differ, these do.
    """
    for number, setting in enumerate(reference.settings()):
        given = _given(binding, setting)
        if not setting.beyond and given is not None:
            yield make_probe(reference, binding, given, number, seed)


def beyond(reference: Reference, binding: Binding, seed: int) -> Iterator[Probe]:
    """Probes of the settings that the spec's constants do not stand for."""
    for number, setting in enumerate(reference.settings()):
        given = _given(binding, setting)
        if setting.beyond and given is not None:
            yield make_probe(reference, binding, given, number, seed)


def _given(binding: Binding, setting: Setting) -> Setting | None:
    """The setting with those of its constants that the code is given; None if with none."""
    named = {n: v for n, v in setting.constants.items() if binding.mentions(n)}
    if len(named) == len(setting.constants):
        return setting
    words = f"another {' and '.join(named)}"
    return replace(setting, constants=named, varies=words) if named else None


def make_probe(
    reference: Reference, binding: Binding, setting: Setting, number: int, seed: int
) -> Probe:
    """The probe of one setting."""
    named = tuple(binding.mentions(f"d{name}") for name in reference.outputs)
    way = named, binding.upstream, binding.upstream_scale
    place = *setting.sizes.items(), *setting.constants.items()
    return recall_of(reference).of(
        ("probe", number, seed, way, place, setting.varies),
        lambda: _made(reference, binding, setting, number, seed),
    )


def _made(
    reference: Reference, binding: Binding, setting: Setting, number: int, seed: int
) -> Probe:
    rng = np.random.default_rng([seed, number])
    read = {v.name for v in reference.spec.variables if v.read}
    constants = {**reference.constants, **setting.constants}
    integers = {name: value for name, value in constants.items() if isinstance(value, int)}
    drawn = reference.sample({**setting.sizes, **setting.constants}, rng)
    values = {name: value for name, value in drawn.items() if name not in read}
    env = {**integers, **setting.sizes}
    upstream = {name: _upstream(name, reference, binding, env, rng) for name in reference.outputs}
    return Probe(
        number,
        setting.sizes,
        env,
        values,
        upstream,
        {**constants, **setting.sizes},
        setting,
        {},
        setting.varies,
    )


def stressed(
    reference: Reference, binding: Binding, first: Probe, read: Mapping[str, np.ndarray]
) -> Iterator[Probe]:
    """The first probe with its values and upstream gradients made large, huge and tiny.

    `read` is what the user's code drew itself there, such as a mask.
    """
    recall = recall_of(reference)
    if recall.keeps(first) and not read:
        key = ("stressed", id(first))
        yield from recall.of(
            key, lambda: tuple(_stressed(reference, binding, first, read)), holding=first
        )
    else:
        yield from _stressed(reference, binding, first, read)


def _stressed(
    reference: Reference, binding: Binding, first: Probe, read: Mapping[str, np.ndarray]
) -> Iterator[Probe]:
    free = growing(reference, first)
    inputs = [v.name for v in free if v.role == "input"]
    parameters = [v.name for v in free if v.role == "parameter"]
    every = [v.name for v in free]
    steep = dict.fromkeys(free_upstream(binding, first), _STEEP)
    faint = {name: 1 / factor for name, factor in steep.items()}
    plans = [
        (inputs, _LARGE, {}, LARGE_INPUTS),
        (parameters, _LARGE, {}, "large parameters"),
        (every, _TINY, faint, "tiny values"),
        (inputs, _HUGE, {}, "huge inputs"),
        ([], 1.0, steep, "large upstream gradients"),
    ]
    for names, factor, upstream, words in plans:
        if not names and not upstream:
            continue
        probe = scaled(first, {**dict.fromkeys(names, factor), **upstream}, words)
        gap = reference.kinks({**read, **probe.values}, probe.given).gap
        if gap > NEAR_KINK or probe.is_huge:
            yield probe


def free_upstream(binding: Binding, probe: Probe) -> list[str]:
    """The upstream gradients, as ``d<output>``, that the code is given and that may be any."""
    names = [f"d{name}" for name in probe.upstream]
    return [n for n in names if binding.upstream is None and binding.mentions(n)]


def scaled(first: Probe, scale: Mapping[str, float], words: str) -> Probe:
    """A probe whose values and upstream gradients are those of `first`, some of them scaled."""
    values = {n: v * scale[n] if n in scale else v for n, v in first.values.items()}
    upstream = {n: u * scale[f"d{n}"] if f"d{n}" in scale else u for n, u in first.upstream.items()}
    return replace(first, values=values, upstream=upstream, scale=scale, varies=words)


def can_grow(variable: Variable) -> bool:
    """Whether a variable stays in its domain when it is scaled."""
    return variable.dtype == "real" and variable.domain.kind in _SCALABLE


def growing(reference: Reference, probe: Probe) -> list[Variable]:
    """The variables whose values a probe has, and that can be scaled."""
    return [v for v in reference.spec.variables if v.name in probe.values and can_grow(v)]


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
