"""A slope that is none: the function itself, or ``a * (1 - a)`` of what is no sigmoid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_program import Array, Grain
from gradtool.records import Struct

# What people write for slopes of values: of a sigmoid and of tanh by their outputs.
_FORMS: tuple[tuple[str, str, float, str, Callable[[Array], Array]], ...] = (
    ("wrong-function", "{v}", 1.5, "{v} itself stands where a slope belongs", lambda v: v),
    (
        "wrong-point", "{v} * (1 - {v})", 1.55, "the slope of a sigmoid is taken of {v}",
        lambda v: v * (1 - v),
    ),
    (
        "wrong-point", "(1 - {v}**2)", 1.55, "the slope of tanh is taken of {v}",
        lambda v: 1 - v * v,
    ),
)  # fmt: skip


class _Slope(Struct, frozen=True):
    evidence: Evidence
    grain: Grain
    upstream: str
    name: str
    form: Callable[[Array], Array]

    def predict(self, seen: Seen) -> Array | None:
        known = self.evidence.bench(self.grain, seen.number).known
        upstream, value = np.asarray(known[self.upstream]), np.asarray(known[self.name])
        return upstream * self.form(value) if upstream.shape == value.shape else None


def _is_switch(evidence: Evidence, grain: Grain, name: str) -> bool:
    """Whether a value is a mask: zeros and ones."""
    benches = [evidence.bench(grain, seen.number) for seen in evidence.telling[:2]]
    values = [np.asarray(bench.known[name]) for bench in benches]
    return all(bool(np.all((value == 0) | (value == 1))) for value in values)


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.derived is None or not evidence.shape_fits or evidence.tier or not evidence.grains:
        return
    grain = evidence.grains[0]
    if len(grain.upstream) != 1 or not evidence.variable.shape:
        return
    (upstream,) = grain.upstream
    for name, tensor in grain.tensors.items():
        plain = tensor.kind == "real" and not name.startswith("_")
        if not plain or name in grain.cotangents or tensor.shape != evidence.variable.shape:
            continue
        if _is_switch(evidence, grain, name):
            continue  # 1 - m**2 is what is not chosen
        for code, formula, cost, what, form in _FORMS:
            yield Hypothesis(
                code,
                cost,
                what.format(v=name),
                _Slope(evidence, grain, upstream, name, form).predict,
                partial(str, f"your {evidence.label} equals {upstream} * {formula.format(v=name)}"),
                f"{formula} of {name}",
            )
