"""A right answer by code that may not be seen as it is: what does it do where it can be seen?

Calls are counted, and steps are seen, in the process in which the submission runs, in the thread
that asks.  Who reaches for that process is asked again with the words for it taken away; whose file
has left a thread behind, without the statements that began it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gradtool.check import numerical
from gradtool.check.answers import read_run
from gradtool.check.judge import Judgement
from gradtool.check.measure import bind
from gradtool.check.probes import Probe
from gradtool.check.reference import Reference
from gradtool.check.session import CheckTrouble, Session
from gradtool.lint import counting, means
from gradtool.lint.result import Finding, Spot


def findings(
    reference: Reference,
    varied: Callable[[], Session],
    judgement: Judgement,
    count: Mapping[str, Any],
    probe: Probe,
    evading: Finding,
) -> tuple[Finding, ...]:
    """What is told of the evaluation that `count` asks for, of the file as `varied` loads it.

    `evading` is told where gradients that were right are not so like that.
    """
    binding = judgement.binding
    assert binding is not None
    try:
        with varied() as other:
            bind(other, reference, binding)
            answer = other.ask(count, probe.arrays, probe.max_bytes)
            reply = answer.header
            steps, moved = [reply.get("step")], [reply.get("moved")]
            if not numerical.tells(reply):
                again = other.ask({**count, "op": "steps"}, probe.arrays, probe.max_bytes).header
                steps.append(again.get("step"))
                moved += numerical.moves(again, reference)
    except CheckTrouble:
        return (evading,)
    at = Spot(evading.line, evading.place)
    found = means.counted(reply, judgement.points[0], at)
    found += means.complex_step(steps, at)
    found += means.entry_by_entry(moved, at)
    if found:
        return found
    run, seed, right = read_run(answer), int(count["seed"]), counting.right_everywhere(judgement)
    are_so = counting.are_right(reference, binding, probe, run, seed, right)
    return () if are_so else (evading,)
