"""A right answer by code that could look into what runs it: what does it do where it cannot?

Calls are counted, and steps are seen, in the process in which the submission runs.  Who reaches for
that process is asked again, with the words for it taken away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gradtool.check import numerical
from gradtool.check.answers import read_run
from gradtool.check.bind import Binding
from gradtool.check.measure import Point, bind
from gradtool.check.probes import Probe
from gradtool.check.reference import Reference
from gradtool.check.rewrite import Change
from gradtool.check.session import CheckTrouble, Session
from gradtool.lint import counting, means
from gradtool.lint.result import Finding

_NOT_WITHOUT = (
    "it looks into the process that runs it, by frames, say, and is not right where it cannot"
)


def findings(
    reference: Reference,
    session: Session,
    binding: Binding,
    count: Mapping[str, Any],
    probe: Probe,
    point: Point,
    right: Collection[str],
    line: int,
) -> tuple[Finding, ...]:
    """What is told of the evaluation that `count` asks for; `right` are gradients that were."""
    evading = (Finding("GT403", _NOT_WITHOUT, line),)
    try:
        with session.varied(Change(seal=True)) as other:
            bind(other, reference, binding)
            answer = other.ask(count, probe.arrays, probe.max_bytes)
            reply = answer.header
            steps, moved = [reply.get("step")], [reply.get("moved")]
            if not numerical.tells(reply):
                again = other.ask({**count, "op": "steps"}, probe.arrays, probe.max_bytes).header
                steps.append(again.get("step"))
                moved.append(again.get("moved"))
    except CheckTrouble:
        return evading
    found = means.counted(reply, point, line)
    found += means.complex_step(steps, line)
    found += means.entry_by_entry(moved, line)
    if found:
        return found
    run, seed = read_run(answer), int(count["seed"])
    are_right = counting.are_right(reference, binding, probe, run, seed, right)
    return () if are_right else evading
