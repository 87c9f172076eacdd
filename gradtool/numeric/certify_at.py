"""Both derivatives at one sample, along one random direction of all inputs at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradtool.derive.derivation import Derivation
from gradtool.ir.errors import TooLargeError, UnsupportedError
from gradtool.ir.graph import AnyStatement, Graph
from gradtool.ir.index import Tensor
from gradtool.numeric.arithmetic import HighPrecision
from gradtool.numeric.branches import Branches
from gradtool.numeric.coverage import Condition, sides
from gradtool.numeric.departures import Departure, departures
from gradtool.numeric.grid import Setting, run
from gradtool.numeric.places import Array
from gradtool.numeric.sample import setting_for
from gradtool.numeric.samples import Sample, in_precision
from gradtool.records import Struct, replace
from gradtool.spec.model import LayerSpec

REQUIRED = 1e-30
_OTHER_DIGITS, _NEAR = (60, 100, 140), 1e-40
_LEAST = 1e-3  # derivatives below this take more digits to tell from rounding
_SMALL = 1e-6  # of the whole derivative: that of an input which is looked at alone
_DIRECTIONS = 6  # along which a forward pass must have a slope to count as smooth
_FAINT = 10  # times how far the slopes are apart, a derivative may be missed by a kink
_SHORTER = 2.0**-10  # of a step: the slopes of what is smooth are closer then


class Seen(Struct, frozen=True):
    """What one sample showed.

    Attributes:
        error: the relative difference of the two derivatives; infinite when the printed formula
            divides by zero where the forward pass is smooth.
        drowned: the size of a small derivative in which a difference may be rounding; 0 for none.
        smooth: whether the forward pass has a slope here; False where it is not finite.
        sides: the conditions of the forward pass that were seen, see `coverage.sides`.
        alive: inputs whose gradient is not zero everywhere.
        departures: what explains the error of a point with a slope: there the formulas are the
            derivative of the pass in which every operation at its kink keeps its branch, or
            divide by zero where the forward pass takes the root of zero.
    """

    error: float
    smooth: bool
    sides: frozenset[tuple[int, bool]]
    alive: frozenset[str]
    drowned: float = 0
    departures: tuple[Departure, ...] = ()


class Certified(Struct, frozen=True):
    """A derivation and its printed lines, read back.

    Attributes:
        statements: the printed lines as statements.
        gradients: the tensor of each gradient that is printed.
        targets: every input that was asked for, those with a zero gradient included.
    """

    spec: LayerSpec
    graph: Graph
    derivation: Derivation
    statements: tuple[AnyStatement, ...]
    gradients: Mapping[str, Tensor]
    targets: tuple[str, ...]
    conditions: Sequence[Condition]

    def at(self, sample: Sample, digits: int, explained: bool = False) -> Seen:
        """Compare at one sample.

        `explained`: a difference counts however small, and is looked into.

        Raises:
            ZeroDivisionError: the forward pass, or a derivative that does not exist here.
        """
        return _Point(self, sample, HighPrecision(digits)).seen(explained)

    def rounding_decides(self, sample: Sample) -> bool:
        """Whether values are compared that are equal but for rounding.

        How far they are apart is something else with other digits, and nothing, perhaps.
        """
        near = [_Point(self, sample, HighPrecision(digits)).narrow() for digits in _OTHER_DIGITS]
        return bool(min(near) < _NEAR and min(near) < max(near) / 2)


class _Point:
    def __init__(self, of: Certified, sample: Sample, arithmetic: HighPrecision) -> None:
        self.of = of
        self.arithmetic = arithmetic
        self.mp = arithmetic.mp
        self.rng = np.random.default_rng(sample.seed)
        self.setting: Setting = sample.setting(setting_for(of.graph, sample.sizes, arithmetic))
        self.values = in_precision(of.spec, sample.drawn(of.spec, self.rng), arithmetic)
        # What the loops of the forward pass keep is in the graph of the derivation only.
        forward = of.derivation.graph if of.derivation.tapes else of.graph
        self.known = self._run(forward.statements, self.values, of.graph.outputs)
        self.step = self.mp.mpf(10) ** -(arithmetic.digits // 3)
        self.weights = {
            output: self._exact(
                1.0 if of.derivation.is_loss else self.rng.standard_normal(np.shape(value))
            )
            for output in of.graph.outputs
            for value in [self.known[output]]
        }
        self.directions = {
            name: self._exact(self.rng.standard_normal(np.shape(self.known[name])))
            for name in of.targets
        }

    def _run(
        self,
        statements: Sequence[AnyStatement],
        values: Mapping[str, Array],
        wanted: Sequence[str],
        *,
        plain: bool = False,
    ) -> dict[str, Array]:
        """The values of all tensors; where a condition is false, what it guards need not have any.

        `plain`: the branches of the forward pass are none of these statements.

        Raises:
            ZeroDivisionError, UnsupportedError: something that is `wanted` has no value.
        """
        setting = replace(self.setting, branches=None) if plain else self.setting
        mark = None if setting.branches is None else setting.branches.mark()
        try:
            return run(statements, values, setting)
        except (ZeroDivisionError, UnsupportedError):
            lenient = replace(setting, arithmetic=self.arithmetic.lenient())
            if setting.branches is not None and mark is not None:
                setting.branches.back(mark)
            known = run(statements, values, lenient)
            if not all(self._is_finite(known[name]) for name in wanted):
                raise
            return known

    def _is_finite(self, array: Array) -> bool:
        return all(self.mp.isfinite(entry) for entry in np.ravel(array))

    def _exact(self, array: Any) -> Array:
        return np.asarray(np.frompyfunc(self.mp.mpf, 1, 1)(array), dtype=object)

    def narrow(self) -> Any:
        """How far the nearest values that are compared are apart."""
        branches = Branches()
        setting = replace(self.setting, branches=branches)
        lenient = replace(setting, arithmetic=self.arithmetic.lenient())
        run(self.of.graph.statements, self.values, lenient)
        return branches.narrow

    def seen(self, explained: bool) -> Seen:
        asked = sides(self.of.conditions, self.known, self.setting)
        try:
            found = self._gradients()
        except TooLargeError:
            raise
        except (ZeroDivisionError, UnsupportedError):
            if not self._smooth():
                raise
            found_out = self._departures() if explained else ()
            return Seen(math.inf, True, asked, frozenset(), departures=found_out)
        products: dict[str, list[Any]] = {}
        for name, gradient in found.items():
            parts = np.asarray(gradient * self.directions[name], dtype=object).ravel()
            weight = sum((abs(p) for p in parts), self.mp.mpf(0))
            # Every input counts alike: a large gradient must not drown a wrong small one.
            if weight > 1 and self.mp.isfinite(weight):
                self.directions[name] = self.directions[name] / weight
                parts = parts / weight
            products[name] = list(parts)
        gap, size = self._missed([p for parts in products.values() for p in parts])
        every_gap = [(gap, size)]
        for name, own in products.items():
            weight = sum((abs(p) for p in own), self.mp.mpf(0))
            if 0 < weight < _SMALL * size:  # it is lost beside the others
                every_gap.append(self._missed(own, {name: self.directions[name]}))
        least = 0 if explained else _LEAST
        error = max(float(g / max(size, least)) if g else 0.0 for g, size in every_gap)
        unseen = [float(size) for g, size in every_gap if g > REQUIRED * size and size < _LEAST]
        drowned = min(unseen, default=0.0)
        alive = frozenset(n for n, parts in products.items() if any(parts))
        if error <= REQUIRED:
            return Seen(error, True, asked, alive, drowned)
        smooth = self._smooth(gap)
        found_out = self._departures() if smooth and explained else ()
        return Seen(error, smooth, asked, alive, drowned, found_out)

    def _missed(
        self, parts: Sequence[Any], direction: Mapping[str, Array] | None = None
    ) -> tuple[Any, Any]:
        """How far the slope along a direction is from the sum of some products of gradients with
        it, and the size that this is held against."""
        moved = []
        for part in (1, -1):
            if self.setting.branches is not None:
                self.setting.branches.repeat()
            moved.append(self._along(part, direction))
        slope = (moved[0] - moved[1]) / (2 * self.step)
        zero = self.mp.mpf(0)
        return abs(slope - sum(parts, zero)), max(abs(slope), sum((abs(p) for p in parts), zero))

    def _departures(self) -> tuple[Departure, ...]:
        """What explains every gradient that is wrong here; () if something is not explained."""
        branches = Branches(quotients=not self.of.conditions)
        self.setting = replace(self.setting, branches=branches)
        try:
            self._along(0)
            if not branches.edges:
                return ()
            divided, other = [], []
            for name, gradient in self._gradients(lenient=True).items():
                if not self._is_finite(gradient):
                    divided.append(name)
                elif not self._holds(name, gradient, kept=False):
                    if not self._holds_in_parts(name, gradient):
                        return ()
                    other.append(name)
        finally:
            self.setting = replace(self.setting, branches=None)
        graph = self.of.derivation.graph
        roots = departures(graph, branches.edges, divided, True) if divided else ()
        if divided and not roots:
            return ()
        return (*roots, *(departures(graph, branches.edges, other, False) if other else ()))

    def _holds_in_parts(self, name: str, gradient: Array) -> bool:
        """Whether a gradient is that of the pass which keeps its branches, or of some entries so.

        A formula that is simpler than the chain rule may be the derivative of the layer in one
        entry, and follow the conventions in another.
        """
        if self._holds(name, gradient, kept=True):
            return True
        for entry in np.ndindex(np.shape(gradient)):
            one = np.full(np.shape(gradient), self.mp.mpf(0), dtype=object)
            one[entry] = self.mp.mpf(1)
            if not any(self._holds(name, gradient, kept, one) for kept in (False, True)):
                return False
        return True

    def _holds(self, name: str, gradient: Array, kept: bool, along: Array | None = None) -> bool:
        """Whether the gradient of one input is the slope along a direction of it.

        `kept`: of the pass in which what stands at its kink keeps its branch.
        """
        direction = {name: self.directions[name] if along is None else along}
        parts = np.asarray(gradient * direction[name], dtype=object).ravel()
        branches = self.setting.branches
        if not kept:
            self.setting = replace(self.setting, branches=None)
        gap, size = self._missed(list(parts), direction)
        self.setting = replace(self.setting, branches=branches)
        least = self.mp.mpf(10) ** -(self.arithmetic.digits // 12)  # what is zero is not exactly so
        return bool(gap <= REQUIRED * max(size, least))

    def _gradients(self, lenient: bool = False) -> dict[str, Array]:
        upstream = {
            self.of.derivation.upstream[output][0]: weight
            for output, weight in self.weights.items()
            if not self.of.derivation.is_loss
        }
        wanted = {name: tensor.name for name, tensor in self.of.gradients.items()}
        given = {**self.known, **upstream}
        needed = () if lenient else tuple(wanted.values())
        backward = self._run(self.of.statements, given, needed, plain=True)
        return {name: backward[made] for name, made in wanted.items()}

    def _along(self, part: Any, directions: Mapping[str, Array] | None = None) -> Any:
        """The forward pass, moved by a part of a step along the direction.

        Inputs are moved, and values as they are computed.
        """
        along = self.directions if directions is None else directions
        moved = {n: part * self.step * d for n, d in along.items()}
        inputs = {n: self.values[n] + d for n, d in moved.items() if n in self.values}
        known = {**self.values, **inputs}
        if not moved.keys() - self.values.keys():
            return self._total(self._run(self.of.graph.statements, known, self.of.graph.outputs))
        for statement in self.of.graph.statements:
            wanted = {statement.out.name} & {*self.of.graph.outputs}
            known = self._run((statement,), known, tuple(wanted))
            name = statement.out.name
            if name in moved:
                known[name] = known[name] + moved[name]
        return self._total(known)

    def _total(self, known: Mapping[str, Array]) -> Any:
        total = self.mp.mpf(0)
        for output, weight in self.weights.items():
            total += sum(np.asarray(known[output] * weight).ravel(), self.mp.mpf(0))
        return total

    def _smooth(self, missed: Any = None) -> bool:
        """Whether the slopes from both sides are finite and meet: at a kink they do not.

        A faint kink is one, too, if by it a derivative may be `missed` by that much: there the
        slopes stay as far apart however short the step is.

        Along one direction they may: of ``relu(x) + x * (z > 0)`` at x = z = 0 they do where x
        and z go opposite ways.  So other directions are looked at, too.  And at a pole they do,
        as of ``where(x == 0, 0, 1 / x)``: but there they depend on the step.
        """
        here, half = self._total(self.known), self.mp.mpf(1) / 2
        for number in range(_DIRECTIONS):
            along = self.directions
            if number:
                along = {
                    name: self._exact(self.rng.standard_normal(np.shape(direction)))
                    for name, direction in self.directions.items()
                }

            def apart(shorter: Any, along: Mapping[str, Array] = along) -> tuple[Any, Any]:
                """How far the slopes are apart, and one of them; infinite if one is."""
                parts = (shorter, -shorter, half * shorter)
                slopes = [(self._along(p, along) - here) / (p * self.step) for p in parts]
                if not all(map(self.mp.isfinite, slopes)):
                    return self.mp.inf, self.mp.mpf(1)
                return max(slopes) - min(slopes), slopes[0]

            gap, slope = apart(self.mp.mpf(1))
            if gap > 1e-8 * max(1, abs(slope)):
                return False
            explains = missed is not None and gap * _FAINT >= missed
            if explains and apart(self.mp.mpf(_SHORTER))[0] > half * gap:
                return False
        return True
