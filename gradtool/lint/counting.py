"""The evaluation in which calls are counted: at values that were not asked before.

Code that can tell that its calls are counted could compute otherwise then, or look up what it has
found before.  What is right wherever nothing is counted has to be right there, too.
"""

from __future__ import annotations

from collections.abc import Collection

from gradtool.check.answers import Run, read_run
from gradtool.check.bind import Binding
from gradtool.check.compare import is_near
from gradtool.check.frames import Frame
from gradtool.check.judge import Judgement, as_read
from gradtool.check.measure import compared
from gradtool.check.probes import Probe, make_probe
from gradtool.check.reference import Reference
from gradtool.check.scale import ScaleProblem
from gradtool.check.session import CheckTrouble, Session

_NUMBER = 950  # of the probe
_NEAR = 1e-3  # of the largest entry: what differences with any useful step keep to


def probe_for(reference: Reference, binding: Binding, first: Probe, seed: int) -> Probe:
    """Another sample at the sizes of a probe; the same one for a whole class."""
    return make_probe(as_read(reference, binding), binding, first.setting, _NUMBER, seed)


def has_digits(judgement: Judgement) -> bool:
    """Whether a gradient is right to some digits at the first point, as differences are.

    That they are differences takes a search to find, which slow code has no time for.
    """
    first = judgement.points[0]
    right = first.expected.gradients
    return any(
        right[name].any() and is_near(outcome.array, right[name], _NEAR)
        for name, outcome in first.gradients.items()
        if outcome.array is not None and outcome.finite
    )


def is_otherwise(
    session: Session,
    reference: Reference,
    judgement: Judgement,
    probe: Probe,
    reply: Frame,
    seed: int,
) -> bool:
    """Whether gradients that are right everywhere are wrong while calls are counted, only then.

    `reply` is the answer at the probe with calls counted; where something is wrong with it, the
    same is asked without.
    """
    binding = judgement.binding
    assert binding is not None
    right = right_everywhere(judgement)
    if not right:
        return False
    way = *binding.grads.items(), *binding.scale.items(), binding.gradients

    def are_so(run: Run) -> bool:
        return are_right(reference, binding, probe, run, seed, right)

    answer = read_run(reply)
    sent = tuple((name, array.tobytes()) for name, array in reply.arrays.items())
    key = ("counted", id(probe), seed, way, right, answer.trouble, sent)
    size = sum(len(data) for _, data in sent)
    if session.answers.of(key, lambda: are_so(answer), holding=probe, size=size):
        return False
    try:
        plain = session.evaluate(probe.arrays, probe.scalars, seed=seed, max_bytes=probe.max_bytes)
    except CheckTrouble:
        return False
    return are_so(plain)


def right_everywhere(judgement: Judgement) -> tuple[str, ...]:
    """The gradients that are right at every point."""
    return tuple(
        name
        for name in judgement.points[0].gradients
        if all(name in p.gradients and p.gradients[name].right for p in judgement.points)
    )


def are_right(
    reference: Reference,
    binding: Binding,
    probe: Probe,
    run: Run,
    seed: int,
    names: Collection[str],
) -> bool:
    """Whether these gradients are right in an answer at a probe."""
    read = as_read(reference, binding)
    try:
        point = compared(read, binding, probe, run, seed)
    except (CheckTrouble, ScaleProblem):  # what it draws itself is not there
        return False
    return all(name in point.gradients and point.gradients[name].right for name in names)
