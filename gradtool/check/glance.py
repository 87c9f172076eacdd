"""A first look at a way to read a file: at two points most ways show that they are not meant."""

from __future__ import annotations

from itertools import islice

from gradtool.check.bind import Binding
from gradtool.check.compare import Outcome
from gradtool.check.measure import bind, measure, offered
from gradtool.check.probes import probes
from gradtool.check.reference import Reference
from gradtool.check.result import is_lost
from gradtool.check.session import CheckTrouble, Session
from gradtool.records import Struct

_POINTS = 2  # sizes that differ, then a square
_NEAR = 1e-2  # of the scale of an array: a guard or a step of differences is no other reading


class Glance(Struct, frozen=True):
    """What two points show of a binding.

    Attributes:
        near: everything is right there, but for what may have an excuse.
        understood: how sure it is that the file is meant so, as of a verdict.
        lost: the worker is.
    """

    near: bool
    understood: tuple[int, int]
    lost: bool = False


def glance(reference: Reference, session: Session, binding: Binding, seed: int) -> Glance:
    """Run a binding at the first points only."""
    try:
        bind(session, reference, binding)
    except CheckTrouble as problem:
        return Glance(False, (0, 0), is_lost(problem.trouble))
    few = islice(probes(reference, binding, seed), _POINTS)
    measured = measure(session, reference, binding, few, seed)
    lost = is_lost(measured.trouble)
    points = measured.points
    if not points:
        return Glance(False, (0, 0), lost)
    outputs = [point.outputs.get(name) for point in points for name in reference.outputs]
    gradients = {
        variable.name: [point.gradients.get(variable.name) for point in points]
        for variable in offered(reference, binding)
    }
    forward = all(outcome is not None and outcome.right for outcome in outputs)
    right = sum(all(o is not None and o.right for o in found) for found in gradients.values())
    all_near = all(map(_near, [*outputs, *(o for found in gradients.values() for o in found)]))
    near = measured.trouble is None and all_near
    return Glance(near, (2 if forward else 1, right), lost)


def _near(outcome: Outcome | None) -> bool:
    if outcome is None:
        return False
    return outcome.right or (outcome.error is not None and outcome.error <= _NEAR)
