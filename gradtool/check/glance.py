"""A first look at a way to read a file: at two points most ways show that they are not meant."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TypeAlias

from gradtool.check.bind import Binding
from gradtool.check.compare import Outcome, arrays_of
from gradtool.check.measure import Point, bind, measure, offered
from gradtool.check.probes import probes
from gradtool.check.reference import Reference
from gradtool.check.result import is_lost
from gradtool.check.scale import ratio
from gradtool.check.session import CheckTrouble, Session
from gradtool.records import Struct

_POINTS = 2  # sizes that differ, then a square
_NEAR = 1e-2  # of the scale of an array: a guard or a step of differences is no other reading


Understood: TypeAlias = tuple[int, int, int]


class Glance(Struct, frozen=True):
    """What two points show of a binding.

    Attributes:
        near: everything is right there, but for what may have an excuse.
        understood: how sure it is that the file is meant so, as of a verdict: by its forward pass,
            by the gradients that are right, by those that a factor makes so.
        lost: the worker is.
    """

    near: bool
    understood: Understood
    lost: bool = False


def glance(reference: Reference, session: Session, binding: Binding, seed: int) -> Glance:
    """Run a binding at the first points only."""
    try:
        bind(session, reference, binding)
    except CheckTrouble as problem:
        return Glance(False, (0, 0, 0), is_lost(problem.trouble))
    few = islice(probes(reference, binding, seed), _POINTS)
    measured = measure(session, reference, binding, few, seed)
    lost = is_lost(measured.trouble)
    points = measured.points
    if not points:
        return Glance(False, (0, 0, 0), lost)
    outputs = [point.outputs.get(name) for point in points for name in reference.outputs]
    gradients = {
        variable.name: [point.gradients.get(variable.name) for point in points]
        for variable in offered(reference, binding)
    }
    forward = all(outcome is not None and outcome.right for outcome in outputs)
    right = sum(all(o is not None and o.right for o in found) for found in gradients.values())
    all_near = all(map(_near, [*outputs, *(o for found in gradients.values() for o in found)]))
    near = measured.trouble is None and all_near
    return Glance(near, (2 if forward else 1, right, but_for_a_factor(points)), lost)


def but_for_a_factor(points: Sequence[Point]) -> int:
    """How many gradients are right at every point but for a factor: they are meant so."""
    names = {name for point in points for name in point.gradients}
    return sum(all(_is_scaled(point, name) for point in points) for name in names)


def _is_scaled(point: Point, name: str) -> bool:
    outcome = point.gradients.get(name)
    if outcome is None or outcome.array is None:
        return False
    arrays = arrays_of(point.expected.double, "gradient", name)
    return outcome.right or bool(ratio(outcome.array, *arrays))


def _near(outcome: Outcome | None) -> bool:
    if outcome is None:
        return False
    return outcome.right or (outcome.error is not None and outcome.error <= _NEAR)
