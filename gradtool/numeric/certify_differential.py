"""Certification of directional derivatives, Jacobians and Hessians.

As for gradients: every printed line is parsed back and evaluated with 60 digits, and must equal
the centered difference of what it is the derivative of.  That is the forward pass for first
derivatives, and for second ones the gradient, evaluated from its own printed and certified lines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gradtool.derive.second import Differential
from gradtool.emit.loops import printed
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import AnyStatement, Graph, Statement
from gradtool.ir.index import Tensor
from gradtool.numeric.arithmetic import HighPrecision
from gradtool.numeric.certify import (
    Certificate,
    CertificationError,
    derivation_targets,
    exact_values,
    read_back,
    read_lines,
)
from gradtool.numeric.certify_at import REQUIRED
from gradtool.numeric.grid import Setting, run
from gradtool.numeric.sample import setting_for, size_sets
from gradtool.records import Struct
from gradtool.spec.model import LayerSpec

Array = Any

_MOST_PRODUCTS = 4_000_000


def certify_differential(spec: LayerSpec, graph: Graph, found: Differential) -> Certificate:
    """Check every result of a differential; `graph` is the whole forward pass of the spec.

    Raises:
        CertificationError: it does not hold; the message is a bug report.
        UnsupportedError: the layer is singular at every size set.
    """
    checked = _Checked.of(spec, graph, found)
    worst = 0.0
    done: list[Mapping[str, int]] = []
    skipped: list[Mapping[str, int]] = []
    for number, sizes in enumerate(size_sets(graph, spec.sizes)):
        try:
            error = checked.error(sizes, number, 60)
            if error > REQUIRED:  # an ill-conditioned point needs more digits
                error = checked.error(sizes, number, 160)
        except ZeroDivisionError:
            skipped.append(sizes)
            continue
        if not error <= REQUIRED:
            raise CertificationError(_report(spec, found, sizes, error))
        worst = max(worst, error)
        done.append(sizes)
    if not done:
        raise UnsupportedError(
            f"{spec.name} is singular at every size that was tried (a division by zero)",
            "give inputs a domain, or pin sizes: under sizes:",
        )
    digits = 59 if worst == 0 else min(59, int(-math.log10(worst)))
    return Certificate(digits, tuple(done), tuple(skipped))


class _Checked(Struct, frozen=True):
    """A differential with its lines read back.

    Attributes:
        statements: the printed lines, lowered.
        tensors: what each printed line defines.
        backward: the printed gradient, lowered; empty for first derivatives.
        gradients: the tensor of each gradient in it.
    """

    spec: LayerSpec
    graph: Graph
    found: Differential
    statements: tuple[AnyStatement, ...]
    tensors: Mapping[str, Tensor]
    backward: tuple[AnyStatement, ...]
    gradients: Mapping[str, Tensor]

    @staticmethod
    def of(spec: LayerSpec, graph: Graph, found: Differential) -> _Checked:
        shown = found.linear[0].derivation.graph if found.linear else found.graph
        own = {line.name for line in found.lines}
        visible = Graph(
            shown.name,
            tuple(t for n, t in found.graph.tensors.items() if n not in own),
            (),
            (),
            (),
            shown.constants,
        )
        given = [Tensor(n, s) for n, s in (*found.upstream.values(), *found.directions.values())]
        statements, tensors = read_lines(visible, given, found.lines)
        backward, gradients = ((), {}) if found.first is None else read_back(found.first)
        return _Checked(spec, graph, found, statements, tensors, backward, gradients)

    def error(self, sizes: Mapping[str, int], seed: int, digits: int) -> float:
        """The largest relative difference between derivative and centered difference."""
        arithmetic = HighPrecision(digits)
        mp = arithmetic.mp
        rng = np.random.default_rng(seed)
        setting = setting_for(self.graph, sizes, arithmetic)
        self.refuse_the_huge(setting)
        exact = np.frompyfunc(mp.mpf, 1, 1)

        def drawn(shape: tuple[int, ...]) -> Array:
            return np.asarray(exact(rng.standard_normal(shape)), dtype=object)

        whole = run(self.graph.statements, exact_values(self.spec, sizes, rng, arithmetic), setting)
        point = {tensor.name: whole[tensor.name] for tensor in self.found.graph.inputs}
        for output, (name, _) in self.found.upstream.items():
            point[name] = drawn(np.shape(whole[output]))
        varied = self.found.directions or {r.wrt: ("", ()) for r in self.found.results}
        direction = {name: drawn(np.shape(whole[name])) for name in varied}
        if self.found.first is not None:
            for name in derivation_targets(self.found.first):
                direction.setdefault(name, drawn(np.shape(whole[name])))
        given = {name: direction[of] for of, (name, _) in self.found.directions.items()}
        forward = run(self.found.graph.statements, point, setting)
        values = run(self.statements, {**forward, **given}, setting)
        step = mp.mpf(10) ** -(digits // 3)
        worst = self.gradient_error(point, direction, step, setting)
        for names in {(r.wrt,) if r.wrt else tuple(varied) for r in self.found.results}:
            moved = [
                self.function(
                    {**point, **{n: point[n] + sign * step * direction[n] for n in names}}, setting
                )
                for sign in (1, -1)
            ]
            for result in self.found.results:
                if ((result.wrt,) if result.wrt else tuple(varied)) != names:
                    continue
                numeric = (moved[0][result.of] - moved[1][result.of]) / (2 * step)
                if result.zero:
                    analytic, scale = numeric * 0, mp.mpf(0)
                else:
                    array = values[self.tensors[result.name].name]
                    analytic, scale = _applied(array, result.wrt and direction[result.wrt])
                    if result.symmetric:
                        worst = max(worst, _asymmetry(array))
                gap = np.max(np.abs(numeric - analytic), initial=mp.mpf(0))
                size = max(np.max(np.abs(numeric), initial=mp.mpf(0)), scale, mp.mpf(10) ** -3)
                worst = max(worst, float(gap / size))
        return worst

    def refuse_the_huge(self, setting: Setting) -> None:
        """A Hessian of images by images has billions of products even at the smallest sizes.

        Raises:
            UnsupportedError: a formula that would fill the memory when it is evaluated.
        """
        for statement in self.statements:
            if not isinstance(statement, Statement):
                continue
            for term in statement.body.terms:
                indices = (*statement.free, *statement.bound, *term.bound)
                count = math.prod(setting.size(index.size) for index in indices)
                if count > _MOST_PRODUCTS:
                    raise UnsupportedError(
                        f"a {self.found.kind} that takes {count:.0e} products to certify",
                        "pin smaller sizes under sizes:, or take --jvp or --hvp, which never "
                        "build it",
                    )

    def gradient_error(
        self,
        point: Mapping[str, Array],
        direction: Mapping[str, Array],
        step: Any,
        setting: Setting,
    ) -> float:
        """The gradient that is differentiated, against differences of the forward pass."""
        first = self.found.first
        if first is None:
            return 0.0
        nothing = setting.arithmetic.number(0)
        gradients = self.function(point, setting)
        names = derivation_targets(first)
        products = [np.asarray(gradients[n] * direction[n], dtype=object).ravel() for n in names]
        parts = np.concatenate(products) if products else np.zeros(0, dtype=object)
        sides = []
        for sign in (1, -1):
            moved = {**point, **{n: point[n] + sign * step * direction[n] for n in names}}
            known = run(self.found.graph.statements, moved, setting)
            total = nothing
            for output in self.found.graph.outputs:
                weight = 1 if first.is_loss else point[first.upstream[output][0]]
                total += np.asarray(known[output] * weight, dtype=object).sum()
            sides.append(total)
        numeric = (sides[0] - sides[1]) / (2 * step)
        size = max(abs(numeric), np.abs(parts).sum(), setting.arithmetic.number(1) / 1000)
        return float(abs(numeric - parts.sum()) / size)

    def function(self, point: Mapping[str, Array], setting: Setting) -> dict[str, Array]:
        """What is differentiated: the outputs, or the gradient of every variable."""
        known = run(self.found.graph.statements, point, setting)
        first = self.found.first
        if first is None:
            return known
        # The backward pass reads the winners of maxima too.
        known = run(first.graph.statements, point, setting)
        after = run(self.backward, known, setting)
        made = {of: after[tensor.name] for of, tensor in self.gradients.items()}
        nothing = setting.arithmetic.number(0)
        return made | {name: np.full(np.shape(known[name]), nothing) for name in first.zero}


def _applied(array: Array, direction: Array | str) -> tuple[Array, Any]:
    """A Jacobian applied to a direction, and the size of what was added up."""
    if isinstance(direction, str):
        return array, np.max(np.abs(array), initial=0)
    rows = array.shape[: array.ndim - direction.ndim]
    flat = array.reshape(*rows, -1)
    products = flat * direction.reshape(-1)
    total = np.asarray(products.sum(axis=-1), dtype=object)
    return total, np.max(np.abs(products).sum(axis=-1), initial=0)


def _asymmetry(array: Array) -> float:
    side = math.prod(array.shape[: array.ndim // 2])
    matrix = array.reshape(side, side)
    scale = np.max(np.abs(matrix), initial=0)
    return float(np.max(np.abs(matrix - matrix.T), initial=0) / scale) if scale else 0.0


def _report(spec: LayerSpec, found: Differential, sizes: Mapping[str, int], error: float) -> str:
    lines = "\n".join(f"    {text}" for text in printed(found.lines))
    shown = ", ".join(f"{k}={v}" for k, v in sizes.items())
    return (
        f"the {found.kind} of '{spec.name}' does not agree with 60-digit differences "
        f"(relative difference {error:.1e} at {shown})\n{lines}\n\nthe spec:\n{spec.text}"
    )
