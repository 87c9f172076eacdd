"""The Python interface: what the command line derives, as objects.

    import gradtool

    layer = gradtool.load("affine")            # a bundled name, a path, or the text of a spec
    found = layer.derive()                     # derived and certified
    found.gradients["W"].text                  # 'X.T @ dY'
    found.gradients["W"].to_sympy()            # X.T*dY, a sympy MatMul
    forward, backward = found.numpy()          # callables on NumPy arrays

The engine, the certification and the errors are those of the command line: `SpecError` with every
mistake of a spec and its place, `UnsupportedError` naming a construct that is refused, `UsageError`
for a name that does not exist, and `CertificationError` for a bug of gradtool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Graph
from gradtool.numeric.certify import Certificate, CertificationError
from gradtool.records import Struct
from gradtool.report.library import finder
from gradtool.report.library import load as load_named
from gradtool.report.order import Order, OrderKind
from gradtool.results import Derived, Differential, Formula
from gradtool.spec.errors import SpecError
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_path, load_text
from gradtool.spec.model import LayerSpec
from gradtool.spec.usage import UsageError

__all__ = [
    "Certificate",
    "CertificationError",
    "Derived",
    "Differential",
    "Formula",
    "Layer",
    "SpecError",
    "UnsupportedError",
    "UsageError",
    "load",
]


def load(spec: str | Path) -> Layer:
    """A layer from its spec.

    Args:
        spec: the name of a bundled layer ("batch_norm"), a path to a YAML file, or the text of a
            spec itself (a string of several lines).

    Raises:
        UsageError: there is no such bundled layer and no such file.
        SpecError: the spec has mistakes; all of them, each with its place.
    """
    if isinstance(spec, Path):
        return Layer(load_path(spec))
    if "\n" in spec:
        return Layer(load_text(spec, "<text>"))
    return Layer(load_named(spec))


class Layer(Struct, frozen=True, dict=True):
    """A loaded spec, not yet derived.

    Attributes:
        spec: the spec as data.
    """

    spec: LayerSpec

    @property
    def name(self) -> str:
        """What the spec calls the layer."""
        return self.spec.name

    @property
    def about(self) -> str:
        """One sentence about it."""
        return self.spec.about

    @cached_property
    def _graph(self) -> Graph:
        return graph_of(self.spec, finder(self.spec))

    @property
    def variables(self) -> Mapping[str, tuple[str, ...]]:
        """The shape of each input and parameter, as texts: {"X": ("N", "D"), …}."""
        return {v.name: tuple(map(str, v.shape)) for v in self.spec.variables}

    @property
    def outputs(self) -> Mapping[str, tuple[str, ...]]:
        """The shape of each output."""
        graph = self._graph
        return {n: tuple(map(str, graph.tensors[n].shape)) for n in graph.outputs}

    def derive(self, wrt: Sequence[str] | str | None = None, *, staged: bool = False) -> Derived:
        """The gradients, derived and certified.

        Args:
            wrt: of these inputs, parameters or values of the forward pass; by default of every
                differentiable input and parameter.
            staged: one backward line for each forward line, instead of closed forms.

        Raises:
            SpecError: the forward pass has mistakes.
            UsageError: a name in `wrt` that the layer does not have.
            UnsupportedError: a construct that is refused.
        """
        from gradtool.report.derive_command import wanted_of
        from gradtool.report.make_sheet import make_sheet

        wanted = wanted_of(self.spec, self._graph, _names(wrt))
        _, derivation, certificate = make_sheet(self.spec, self._graph, wanted, staged)
        return Derived(self.spec, derivation, certificate)

    def jvp(self, wrt: Sequence[str] | str | None = None, *, staged: bool = False) -> Differential:
        """How the outputs change along directions ``Xdot`` of the variables (all by default)."""
        return self._order("jvp", _names(wrt) or (), staged)

    def jacobian(self, of: str | None = None, wrt: str | None = None) -> Differential:
        """Every entry of an output (of all by default) by every entry of a variable (of each)."""
        if wrt is None and of is not None:
            raise UsageError("jacobian(of=…) also needs wrt=…")
        return self._order("jacobian", tuple(n for n in (of, wrt) if n is not None), False)

    def hvp(self, wrt: Sequence[str] | str | None = None, *, staged: bool = False) -> Differential:
        """The Hessian times directions of the variables: how the gradients change along them.

        For an output Y that is no scalar, of ``sum(dY * Y)`` with dY held fixed.
        """
        return self._order("hvp", _names(wrt) or (), staged)

    def hessian(self, of: str, wrt: str | None = None) -> Differential:
        """The derivative of the gradient of `of` by `wrt` (by `of` itself by default)."""
        return self._order("hessian", (of, of if wrt is None else wrt), False)

    def _order(self, kind: OrderKind, names: tuple[str, ...], staged: bool) -> Differential:
        from gradtool.numeric.certify_differential import certify_differential
        from gradtool.report.differential_sheet import differential

        found = differential(self._graph, Order(kind, names), staged=staged)
        certificate = certify_differential(self.spec, self._graph, found)
        return Differential(self.spec, found, certificate)


def _names(wrt: Sequence[str] | str | None) -> tuple[str, ...] | None:
    if wrt is None:
        return None
    return (wrt,) if isinstance(wrt, str) else tuple(wrt)
