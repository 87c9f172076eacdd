"""A reference that remembers: a class is checked at the same points again and again."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from gradtool.check.recall import Recall
from gradtool.check.reference import Reference
from gradtool.ir.dims import Dim, sizes_text
from gradtool.numeric.kinks import Closest
from gradtool.numeric.reference import SamplingError
from gradtool.numeric.settings import Setting
from gradtool.numeric.shake import Shake
from gradtool.records import Struct, replace
from gradtool.spec.model import LayerSpec

_MOST = 4096
_MOST_ENTRIES = 2_000_000
_MOST_BYTES = 16 << 20
_MOST_POINTS = 32 << 20

Arrays = dict[str, np.ndarray]


class Remembering:
    """A `Reference` in front of another one; equal arguments are evaluated once.

    What it returns is shared and cannot be written to. It may be used by several threads.

    Attributes:
        recall: points and what is right there, which are the same for every submission.
    """

    def __init__(self, reference: Reference, more: Sequence[Mapping[str, int]] = ()) -> None:
        """`more` are sizes to check at, beside those that were chosen for the layer.

        Raises:
            ValueError: the layer has no such sizes, or cannot be evaluated with them.
        """
        self._inner = reference
        self._more = tuple(more)
        self._settings = *reference.settings(), *(_setting(reference, sizes) for sizes in more)
        self._kept: dict[bytes, tuple[Arrays, Arrays]] = {}
        self._bytes = 0
        self._drawn: dict[bytes, tuple[Arrays, Any]] = {}
        self._lock = threading.Lock()
        self.recall = Recall(_MOST_POINTS)
        self.spec: LayerSpec = reference.spec
        self.outputs = reference.outputs
        self.output_shapes: Mapping[str, tuple[Dim, ...]] = reference.output_shapes
        self.constants = reference.constants

    def __reduce__(self) -> tuple[object, ...]:
        """On another machine it begins with nothing to remember."""
        inner = self._inner
        if isinstance(inner, Struct):
            inner = replace(inner)  # without what it has worked out meanwhile
        return Remembering, (inner, self._more)

    @property
    def graph(self) -> object:
        """The forward pass in index notation, for a diagnosis, where there is one."""
        return getattr(self._inner, "graph", None)

    @property
    def store(self) -> object:
        """Where a diagnosis keeps what it has derived, if there is such a place."""
        return getattr(self._inner, "store", None)

    @property
    def guarded(self) -> object:
        """The forward pass with guarded logarithms, where there is one."""
        return getattr(self._inner, "guarded", None)

    def forward(self, values: Mapping[str, np.ndarray], sizes: Mapping[str, int | float]) -> Arrays:
        """Every output by name."""
        return self._inner.forward(values, sizes)

    def evaluate(
        self,
        values: Mapping[str, np.ndarray],
        upstream: Mapping[str, np.ndarray],
        sizes: Mapping[str, int | float],
        *,
        shake: Shake | None = None,
        dtype: str = "",
    ) -> tuple[Arrays, Arrays]:
        """Every output and every gradient by name."""
        key = _key(f"{shake} {dtype}", sizes, values, upstream)
        with self._lock:
            found = self._kept.get(key)
        if found is None:
            made = self._inner.evaluate(values, upstream, sizes, shake=shake, dtype=dtype)
            found = _frozen(made[0]), _frozen(made[1])
            with self._lock:
                self._bytes += sum(a.nbytes for arrays in found for a in arrays.values())
                if len(self._kept) >= _MOST or self._bytes > _MOST_BYTES:
                    self._kept.clear()
                    self._bytes = 0
                self._kept[key] = found
        return dict(found[0]), dict(found[1])

    def kinks(self, values: Mapping[str, np.ndarray], sizes: Mapping[str, int | float]) -> Closest:
        """How close the nearest kink is."""
        return self._inner.kinks(values, sizes)

    def sample(self, sizes: Mapping[str, int | float], rng: np.random.Generator) -> Arrays:
        """Every input and parameter; the generator goes on as if they had been drawn."""
        key = _key(f"sample {rng.bit_generator.state}", sizes)
        with self._lock:
            known = self._drawn.get(key)
        if known is None:
            found = _frozen(self._inner.sample(sizes, rng))
            with self._lock:
                self._drawn[key] = found, rng.bit_generator.state
            return dict(found)
        found, rng.bit_generator.state = known
        return dict(found)

    def settings(self) -> tuple[Setting, ...]:
        """Where the layer is checked."""
        return self._settings


def _setting(reference: Reference, sizes: Mapping[str, int]) -> Setting:
    first = reference.settings()[0]
    unknown = [name for name in sizes if name not in first.sizes]
    if unknown:
        known = ", ".join(first.sizes) or "none"
        raise ValueError(f"{reference.spec.name} has no size {unknown[0]}; its sizes are {known}")
    whole = {**first.sizes, **sizes}
    told = sizes_text(sizes)
    for name, rule in reference.spec.sizes.items():
        if name in whole and (
            whole[name] < rule.minimum or rule.exactly not in (None, whole[name])
        ):
            raise ValueError(f"with {told}: the spec says otherwise for {name}")
    integers = {n: v for n, v in reference.constants.items() if isinstance(v, int)}
    shapes = [variable.shape for variable in reference.spec.variables]
    try:
        entries = [
            prod(dim.evaluate({**integers, **whole}) for dim in shape)
            for shape in (*shapes, *reference.output_shapes.values())
        ]
        if sum(entries) > _MOST_ENTRIES:
            raise ValueError(f"with {told} the arrays have {sum(entries):,} entries")
        values = reference.sample(whole, np.random.default_rng(0))
        outputs = reference.forward(values, whole)
    except (ArithmeticError, IndexError, SamplingError) as error:
        raise ValueError(f"with {told} the layer cannot be evaluated: {error}") from None
    if any(array.size == 0 for array in (*values.values(), *outputs.values())):
        raise ValueError(f"with {told} an array of the layer is empty")
    small = prod(first.sizes.values()) or 1
    work = int(first.work * prod(whole.values()) / small)
    return Setting(whole, f"{told}, as the assignment says", work)


def _frozen(arrays: Arrays) -> Arrays:
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


def _key(what: str, sizes: Mapping[str, int | float], *values: Mapping[str, np.ndarray]) -> bytes:
    digest = hashlib.blake2b(f"{what} {sorted(sizes.items())}".encode(), digest_size=16)
    for arrays in values:
        for name, array in arrays.items():
            digest.update(f";{name}{array.shape}{array.dtype.str}".encode())
            digest.update(array.tobytes())
    return digest.digest()
