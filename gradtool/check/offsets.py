"""Code that is right with a padding, and not without one.

``dx[:, :, pad:-pad, pad:-pad]`` is the gradient for every padding but 0, for which it is empty.
The spec's constants are what was asked for, so this is a remark and no mistake.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradtool.check.compare import label_of
from gradtool.check.facts import Case
from gradtool.check.measure import everything_of, measure
from gradtool.check.probes import beyond
from gradtool.check.result import Remark


def without_offsets(case: Case) -> Iterator[Remark]:
    """Remarks on a case that is right with the constants of the spec, and others like them."""
    for probe in beyond(case.reference, case.binding, case.seed):
        measured = measure(case.session, case.reference, case.binding, [probe], case.seed)
        for text in measured.refused:
            yield Remark("constant", text)
        for point in measured.points:
            for role, name, outcome in everything_of(point):
                if outcome.right or name in case.excused(role):
                    continue
                found = outcome.message or "its numbers are wrong"
                text = f"{label_of(role, name)} is wrong where {probe.varies}: {found}"
                yield Remark("constant", text)
