"""Something is added that does not belong: a penalty on a bias, a buffer that was not empty."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gradtool.check.causes.terms import numbers_at
from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_factors import Factor, Numbers, named
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_program import Array
from gradtool.records import Struct

_FIT = 1e-9

Basis = Callable[[Seen], Array]


class _Added(Struct, frozen=True):
    basis: Basis
    factor: Factor

    def predict(self, seen: Seen) -> Array:
        return seen.right + self.factor.value(numbers_at(seen)) * self.basis(seen)


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.tier or not evidence.shape_fits:
        return
    label = evidence.label
    for basis, shown, code, cost in _bases(evidence):
        factor = _factor(evidence, basis)
        if factor is None:
            continue
        made = _Added(basis, factor)
        times = {"1": "+ ", "-1": "- "}.get(factor.text, f"+ {factor.text} * ")
        what = f"{shown} is added: the buffer was not empty"
        if code == "regulariser" and factor.text == "1":  # no penalty has just this weight
            code, what = "accumulated", f"{shown} itself is added: the buffer began with it"
        elif code == "regulariser":
            what = f"a penalty on {evidence.name} that the loss has not"
        yield Hypothesis(
            code, cost, what, made.predict,
            lambda s=shown, t=times: f"your {label} equals the right one {t}{s}",  # type: ignore[misc]
        )  # fmt: skip


def _bases(evidence: Evidence) -> Iterator[tuple[Basis, str, str, float]]:
    name = evidence.name

    def value(seen: Seen, n: str = name) -> Array:
        return np.asarray(seen.point.values[n], dtype=float)

    def total(seen: Seen) -> Array:
        return np.full(seen.right.shape, float(np.sum(seen.point.values[name])))

    # Only what a loss penalises can be penalised wrongly.
    penalised = evidence.variable.role == "parameter" and any(
        not evidence.reference.output_shapes[o] for o in evidence.reference.outputs
    )
    code = "regulariser" if penalised else "accumulated"
    yield value, name, code, 1.0
    yield total, f"sum({name})", code, 1.2
    yield (lambda seen: np.ones(seen.right.shape)), "1", "accumulated", 1.2
    for variable in evidence.reference.spec.variables:
        if variable.name != name and variable.shape == evidence.variable.shape:
            yield (lambda seen, n=variable.name: value(seen, n)), variable.name, "accumulated", 1.2  # type: ignore[misc]
    for output in evidence.reference.outputs:
        if evidence.reference.output_shapes[output] == evidence.variable.shape:
            yield (
                (lambda seen, n=output: np.asarray(seen.point.probe.upstream[n])),  # type: ignore[misc]
                f"d{output}", "accumulated", 1.3,
            )  # fmt: skip


def _factor(evidence: Evidence, basis: Basis) -> Factor | None:
    found: list[tuple[float, Numbers]] = []
    for seen in evidence.telling:
        extra, error = basis(seen), seen.got - seen.right
        if extra.shape != error.shape:
            return None
        power = float(np.vdot(extra, extra))
        if not power:
            continue
        factor = float(np.vdot(extra, error)) / power
        slack = _FIT * float(np.max(np.abs(seen.got), initial=0.0)) + float(np.max(seen.bound))
        if np.any(np.abs(error - factor * extra) > slack):
            return None
        found.append((factor, numbers_at(seen)))
    if not found:
        return None
    factor_named = named([f for f, _ in found], [n for _, n in found])
    return None if factor_named is None or factor_named.text == "0" else factor_named
