"""Points at which two values of a forward pass are exactly equal.

Ordinary samples never hit ``X == Z`` or ``2 * X == b``, and a formula may be wrong there alone.  A
comparison is linear in most inputs, so one entry is moved until its two sides are the same number;
where no entry does that in a few steps, the point is not looked at.  With inputs that are multiples
of 1/8, sums and products are exact in double precision.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial

import numpy as np

from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Graph, Statement, operands
from gradtool.ir.poly import NOTHING, Factor, Function, Poly
from gradtool.ir.walk import atoms, inside
from gradtool.numeric.arithmetic import Double
from gradtool.numeric.branches import Branches
from gradtool.numeric.coverage import Condition, gap
from gradtool.numeric.grid import Setting, run
from gradtool.numeric.kinks import switches
from gradtool.numeric.places import Array
from gradtool.numeric.sample import setting_for
from gradtool.numeric.samples import Sample
from gradtool.records import replace
from gradtool.spec.model import LayerSpec

_ENTRIES = 3  # of an input, that are tried
_STEPS = 12  # of a quadratic; of what is linear the first one hits, but for rounding


def edges(graph: Graph) -> tuple[Condition, ...]:
    """The equations at which several operations have their kink, or a power its base of zero.

    Only where two operations meet can they hide each other's kinks: a derivative that the layer
    has beside a single kink is the same for every slope that is taken there.
    """
    several: dict[str, list[Condition]] = {}
    powers: dict[str, Condition] = {}
    for statement in graph.statements:
        if not isinstance(statement, Statement):
            continue
        for left, right in switches(statement.body):
            one = Condition(left - right, NOTHING, statement.line)
            several.setdefault(_key(one.left), []).append(one)
        for base in atoms(statement.body):
            if isinstance(base, Function) and base.name == "pow":
                body = base.args[0]
                if body.mentions and not base.args[1].mentions & graph.tensors.keys():
                    powers.setdefault(_key(body), Condition(body, NOTHING, statement.line))
    count = sum(map(len, several.values()))
    kinks = [group[0] for group in several.values()] if count > 1 else []
    return (*kinks, *powers.values())


def root_of_zero(graph: Graph, spec: LayerSpec, sample: Sample) -> bool:
    """Whether a power that has no slope at zero, such as a norm, is one of zero at a sample."""
    branches = Branches()
    setting = replace(setting_for(graph, sample.sizes, Double()), branches=branches)
    _roughly(graph, sample.drawn(spec, np.random.default_rng(sample.seed)), setting)
    return any(edge.root for edge in branches.edges)


def takes_roots(graph: Graph) -> bool:
    """Whether a forward pass has such a power of what is no constant."""
    return any(
        exponent.denominator != 1 or (isinstance(base, Function) and base.name == "pow")
        for statement in graph.statements
        if isinstance(statement, Statement)
        for base, exponent in _factors(statement.body)
        if not base.mentions.isdisjoint(graph.tensors)
    )


def _factors(body: Poly) -> Iterator[Factor]:
    for term in body.terms:
        for base, exponent in term.factors:
            yield base, exponent
            for inner in inside(base):
                yield from _factors(inner)


def _key(body: Poly) -> str:
    return min(body.key, (-body).key)


def tied(edge: Condition, graph: Graph, spec: LayerSpec, sample: Sample) -> Sample | None:
    """The sample with one entry moved to where an edge is met; None where none was found.

    Only where something else stands at its kink there, too, or a power is one of zero.
    """
    rounded = replace(sample, eighths=True)
    setting = setting_for(graph, sample.sizes, Double())
    values = rounded.drawn(spec, np.random.default_rng(sample.seed))

    def gaps(name: str, entry: tuple[int, ...], value: float) -> Array:
        known = _roughly(graph, _with(values, name, entry, value), setting)
        with np.errstate(all="ignore"):
            return np.zeros(0) if known is None else np.ravel(gap(edge, known, setting))

    free = [v.name for v in spec.variables if v.dtype == "real" and v.domain.kind == "real"]
    for name, entry in _entries(edge, graph, free, values):
        value = _zero_of(partial(gaps, name, entry), float(values[name][entry]))
        if value is not None:
            branches = Branches()
            known = _with(values, name, entry, value)
            _roughly(graph, known, replace(setting, branches=branches))
            if len(branches.edges) > 1 or any(one.root for one in branches.edges):
                return replace(rounded, moved_to=(name, entry, value))
    return None


def _zero_of(function: Callable[[float], Array], start: float) -> float | None:
    """Where one of the values of a function is exactly zero, by the secant method."""
    before, value = start + 1, start
    beside, here = function(before), function(value)
    with np.errstate(all="ignore"):
        slopes = beside - here if here.size == beside.size else np.zeros(0)
    places = np.flatnonzero(np.isfinite(slopes) & (slopes != 0))
    for _ in range(_STEPS if places.size else 0):
        rise = float(beside[places[0]] - here[places[0]])
        if rise == 0 or not np.isfinite(rise):
            return None
        moved = value - float(here[places[0]]) * (before - value) / rise
        before, value, beside, here = value, moved, here, function(moved)
        if here.size != beside.size:
            return None
        if here[places[0]] == 0:
            return value
    return None


def _roughly(
    graph: Graph, values: Mapping[str, Array], setting: Setting
) -> Mapping[str, Array] | None:
    """The forward pass in double precision; None where it has no value."""
    try:
        with np.errstate(all="ignore"):
            return run(graph.statements, values, setting)
    except (UnsupportedError, ArithmeticError, np.linalg.LinAlgError):
        return None


def _entries(
    edge: Condition, graph: Graph, names: Collection[str], values: Mapping[str, Array]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Entries of the inputs that the sides of an edge are computed from."""
    needed = set(edge.left.mentions)
    for statement in reversed(graph.statements):
        if statement.out.name in needed:
            needed |= operands(statement)
    for name in names:
        if name in needed:
            for flat in range(min(_ENTRIES, np.size(values[name]))):
                yield name, tuple(map(int, np.unravel_index(flat, np.shape(values[name]))))


def _with(
    values: Mapping[str, Array], name: str, entry: tuple[int, ...], value: float
) -> dict[str, Array]:
    array = np.array(values[name])
    array[entry] = value
    return {**values, name: array}
