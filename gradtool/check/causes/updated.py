"""A gradient that was computed with parameters which the backward pass had changed already."""

from __future__ import annotations

from collections.abc import Iterator

from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_program import Array, Grain
from gradtool.records import Struct


class _Stepped(Struct, frozen=True):
    """The gradient with a parameter after its own step, with a learning rate of 1."""

    evidence: Evidence
    grain: Grain
    parameter: str

    def predict(self, seen: Seen) -> Array | None:
        step = seen.point.gradients.get(self.parameter)
        if step is None or step.array is None:
            return None
        after = seen.point.values[self.parameter] - step.array
        bench = self.evidence.bench(self.grain, seen.number)
        tensor = self.grain.gradients[self.evidence.name]
        return bench.changed(tensor, values={self.parameter: after}, after=self.grain.first)


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.derived is None or not evidence.shape_fits:
        return
    spec = evidence.reference.spec
    parameters = [v.name for v in spec.variables if v.role == "parameter"]
    for grain in evidence.grains[:1]:
        for name in parameters:
            if name == evidence.name or name not in grain.gradients:
                continue
            stepped = _Stepped(evidence, grain, name)
            what = f"{name} was updated before: it is what the new {name} gives"
            yield Hypothesis("updated", 1.0, what, stepped.predict, key=what)
