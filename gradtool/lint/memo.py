"""A reference that remembers: a class is checked at the same points again and again."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradtool.check.reference import Reference
from gradtool.ir.dims import Dim
from gradtool.spec.model import LayerSpec

_MOST = 4096

Arrays = dict[str, np.ndarray]


class Remembering:
    """A `Reference` in front of another one; equal arguments are evaluated once.

    What it returns is shared and cannot be written to. It may be used by several threads.
    """

    def __init__(self, reference: Reference) -> None:
        self._inner = reference
        self._sizes = reference.size_sets()
        self._kept: dict[bytes, Arrays] = {}
        self._drawn: dict[bytes, tuple[Arrays, Any]] = {}
        self._lock = threading.Lock()
        self.spec: LayerSpec = reference.spec
        self.outputs = reference.outputs
        self.output_shapes: Mapping[str, tuple[Dim, ...]] = reference.output_shapes
        self.constants = reference.constants
        self.graph = getattr(reference, "graph", None)  # for a diagnosis, where there is one

    def forward(self, values: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> Arrays:
        """Every output by name."""
        key = _key("forward", sizes, values)
        return self._once(key, lambda: self._inner.forward(values, sizes))

    def backward(
        self,
        values: Mapping[str, np.ndarray],
        upstream: Mapping[str, np.ndarray],
        sizes: Mapping[str, int],
    ) -> Arrays:
        """The gradient of every differentiable variable by name."""
        key = _key("backward", sizes, values, upstream)
        return self._once(key, lambda: self._inner.backward(values, upstream, sizes))

    def sample(self, sizes: Mapping[str, int], rng: np.random.Generator) -> Arrays:
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

    def size_sets(self) -> tuple[dict[str, int], ...]:
        """The sizes to check at."""
        return self._sizes

    def _once(self, key: bytes, make: Callable[[], Arrays]) -> Arrays:
        with self._lock:
            found = self._kept.get(key)
        if found is None:
            found = _frozen(make())
            with self._lock:
                if len(self._kept) >= _MOST:
                    self._kept.clear()
                self._kept[key] = found
        return dict(found)


def _frozen(arrays: Arrays) -> Arrays:
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


def _key(what: str, sizes: Mapping[str, int], *values: Mapping[str, np.ndarray]) -> bytes:
    digest = hashlib.blake2b(f"{what} {sorted(sizes.items())}".encode(), digest_size=16)
    for arrays in values:
        for name, array in arrays.items():
            digest.update(f";{name}{array.shape}{array.dtype.str}".encode())
            digest.update(array.tobytes())
    return digest.digest()
