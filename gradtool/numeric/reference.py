"""What the judge compares with: a layer's forward and derived backward pass, and its samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gradtool.ir.dims import Dim
from gradtool.ir.store import Packed
from gradtool.numeric.compile import Compiled, compiled
from gradtool.numeric.draw import draw
from gradtool.numeric.guard import Form, guarded
from gradtool.numeric.kinks import Closest, closest
from gradtool.numeric.plan import Plan, plan_of
from gradtool.numeric.settings import Setting
from gradtool.numeric.shake import Arrays, Shake
from gradtool.records import Struct
from gradtool.spec.model import LayerSpec

if TYPE_CHECKING:
    from gradtool.ir.graph import Graph

Array = np.ndarray[Any, Any]
Find = Callable[[str], LayerSpec | None]

# Two values are close when they differ by less than this share of the largest among them: far
# above the steps of centered differences, and rare enough that a new draw helps.
GAP = 1e-3
_LEAST_GAP = 1e-9  # rounding must not change which of two values is larger
_TRIES = 200
_PER_GAP = 20  # draws before the gap is halved
_RARE = 0.2  # of all comparisons together: closeness that a new draw will not have again


class Store(Protocol):
    """Packed data of a layer by a name; see `gradtool.ir.store`."""

    def get(self, kind: str) -> Packed | None: ...

    def put(self, kind: str, nodes: Packed) -> None: ...


class SamplingError(Exception):
    """No sample was found that keeps away from the kinks of a layer."""


class DerivedReference(Struct, frozen=True, dict=True):
    """A layer that can be evaluated; implements `gradtool.check.reference.Reference`.

    `find` looks up the specs that this one uses; `store` keeps more data between runs.
    """

    spec: LayerSpec
    plan: Plan
    find: Find | None = None
    store: Store | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(self.plan.outputs)

    @cached_property
    def output_shapes(self) -> Mapping[str, tuple[Dim, ...]]:
        return {n: tuple(map(Dim.parse, shape)) for n, shape in self.plan.outputs.items()}

    @cached_property
    def constants(self) -> Mapping[str, int | float]:
        return {
            name: value if isinstance(value, int) else float(value)
            for name, value in self.spec.constants.items()
        }

    @cached_property
    def compiled(self) -> Compiled:
        """The emitted module."""
        return compiled(self.plan.text)

    @cached_property
    def line_by_line(self) -> Compiled | None:
        """The backward pass by the chain rule, whose lines can be moved; derived when asked for."""
        from gradtool.numeric.line_by_line import line_by_line

        return line_by_line(self.spec, self.graph)

    @cached_property
    def graph(self) -> Graph:
        """The forward pass in index notation, for a diagnosis."""
        from gradtool.spec.forward import graph_of

        return graph_of(self.spec, self.find)

    def evaluate(
        self,
        values: Arrays,
        upstream: Arrays,
        sizes: Mapping[str, int | float],
        *,
        shake: Shake | None = None,
        dtype: str = "",
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Every output and every gradient; see `gradtool.check.reference.Reference`."""

        def typed(array: Any) -> Any:
            real = dtype and array.dtype.kind == "f"
            return array.astype(dtype) if real else array

        ready = {name: typed(array) for name, array in values.items()}
        given = {name: typed(array) for name, array in upstream.items()}
        if shake is not None:
            move = shake.moving()
            ready = {name: move(array) for name, array in ready.items()}
            given = {name: move(array) for name, array in given.items()}
        lines = self.line_by_line if shake is not None and shake.every_line else None
        module = lines or self.compiled
        outputs, cache = self._forward(module, self.outputs, ready, sizes)
        if shake is not None:
            mine = {id(array) for array in ready.values()}
            cache = tuple(kept if id(kept) in mine else move(kept) for kept in cache)
        seeds = [given[name] for name in self.outputs]
        if len(seeds) == 1 and not self.output_shapes[self.outputs[0]]:
            seeds = [np.asarray(seeds[0])[()]]
        moves = (move,) if lines is not None else ()
        found = module.backward(*moves, seeds[0] if len(seeds) == 1 else tuple(seeds), cache)
        gradients = dict(zip(self.plan.wanted, found, strict=True))
        return _wide(outputs), _wide(gradients)

    def forward(self, values: Arrays, sizes: Mapping[str, int | float]) -> dict[str, Array]:
        """Every output by name, as an array."""
        return _wide(self._forward(self.compiled, self.outputs, values, sizes)[0])

    def backward(
        self, values: Arrays, upstream: Arrays, sizes: Mapping[str, int | float]
    ) -> dict[str, Array]:
        """The gradient of every differentiable variable by name, each an array of its own."""
        return {n: np.array(g) for n, g in self.evaluate(values, upstream, sizes)[1].items()}

    def _forward(
        self,
        module: Compiled,
        names: tuple[str, ...],
        values: Arrays,
        sizes: Mapping[str, int | float],
        **more: float,
    ) -> tuple[dict[str, Any], Any]:
        arguments = [values[variable.name] for variable in self.spec.variables]
        # A name that Python keeps for itself is spelled with an underscore in the module.
        keywords = {name: sizes[name if name in sizes else name[:-1]] for name in module.sizes}
        for name in module.constants:
            spec_name = name if name in self.spec.constants else name[:-1]
            if spec_name in sizes:
                keywords[name] = sizes[spec_name]
        made, cache = module.forward(*arguments, **keywords, **more)
        several = made if len(names) > 1 else (made,)
        return dict(zip(names, several, strict=True)), cache

    def guarded(
        self, values: Arrays, sizes: Mapping[str, int | float], form: Form, guard: float
    ) -> dict[str, Array] | None:
        """Every output with a guard in every logarithm; None where there is no logarithm."""
        if form not in self._guarded:
            self._guarded[form] = guarded(self.plan.text, form)
        module = self._guarded[form]
        if module is None:
            return None
        with np.errstate(all="ignore"):
            made, _ = self._forward(module, self.outputs, values, sizes, guard__=guard)
        return _wide(made)

    @cached_property
    def _guarded(self) -> dict[Form, Compiled | None]:
        return {}

    def sample(
        self, sizes: Mapping[str, int | float], rng: np.random.Generator
    ) -> dict[str, Array]:
        """Every input and parameter, redrawn until no comparison of the forward pass is close.

        Raises:
            SamplingError: with what stays close to a kink.
        """
        found = Closest()
        whole = {name: size for name, size in sizes.items() if isinstance(size, int)}
        for attempt in range(_TRIES):
            values = {k: np.asarray(v) for k, v in draw(self.spec, whole, rng).items()}
            found = self.kinks(values, sizes)
            # A network with thousands of relus always has one that is nearly zero.
            gap = min(GAP, _RARE / max(found.count, 1)) / 2.0 ** (attempt // _PER_GAP)
            if found.gap > max(gap, _LEAST_GAP):
                return values
        raise SamplingError(
            f"{self.spec.name}: in each of {_TRIES} samples something lay too close to a kink, "
            f"lastly {found.where}; give the inputs a domain: that keeps them apart"
        )

    def kinks(self, values: Arrays, sizes: Mapping[str, int | float]) -> Closest:
        """How close the nearest kink is."""
        if not self.plan.sites:
            return Closest()
        with np.errstate(all="ignore"):
            names = tuple(name for site in self.plan.sites for name in site.names)
            made, _ = self._forward(self._compared, names, values, sizes)
        return closest(self.plan.sites, made)

    @cached_property
    def _compared(self) -> Compiled:
        return compiled(self.plan.kinks)

    def settings(self) -> tuple[Setting, ...]:
        """Where the layer is checked."""
        return self.plan.settings

    def size_sets(self) -> tuple[dict[str, int], ...]:
        """The sizes of the settings without other constants."""
        return tuple(dict(s.sizes) for s in self.plan.settings if not s.constants)


def _wide(arrays: Mapping[str, Any]) -> dict[str, Array]:
    """Float64, or longer."""
    found = {name: np.asarray(value) for name, value in arrays.items()}
    return {
        name: value if value.dtype.itemsize >= 8 else value.astype(np.float64)
        for name, value in found.items()
    }


def reference_for(spec: LayerSpec, find: Find | None = None) -> DerivedReference:
    """Derive a layer.

    Raises:
        SpecError: the forward pass has mistakes.
        UnsupportedError: a construct that is refused.
    """
    return DerivedReference(spec, plan_of(spec, find), find)
