"""What is known about a wrong array beside that it is wrong: float32, a factor, its forward."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gradtool.check.bind import Binding
from gradtool.check.compare import Outcome
from gradtool.check.differences import follows
from gradtool.check.measure import Measured, Point, measure
from gradtool.check.probes import Probe, probes
from gradtool.check.reference import Reference
from gradtool.check.result import Compared, Remark
from gradtool.check.scale import factor_name, ratio
from gradtool.check.session import CheckTrouble, Session
from gradtool.check.tolerance import FLOAT32

Role = Literal["output", "gradient"]

_NUDGE = 1e-6  # larger than the spacing of float32, small for a formula
_SETTLED = 0.1
_SPREAD = 0.1  # rounding is everywhere; an error in a few entries is none


@dataclass(frozen=True, slots=True)
class Case:
    """Everything about one binding of one file: what was measured, and the means to ask more."""

    reference: Reference
    session: Session
    binding: Binding
    measured: Measured
    drawn: tuple[Probe, ...]
    seed: int

    @property
    def is_loss(self) -> bool:
        return any(not self.reference.output_shapes[name] for name in self.reference.outputs)


def outcome_of(point: Point, role: Role, name: str) -> Outcome | None:
    return (point.outputs if role == "output" else point.gradients).get(name)


def right_of(point: Point, role: Role, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The right array, and its bound."""
    if role == "output":
        return point.expected.outputs[name], point.expected.output_bounds[name]
    return point.expected.gradients[name], point.expected.gradient_bounds[name]


def is_single(case: Case, role: Role, name: str, wrong: Sequence[Point]) -> bool:
    """Whether the errors are those of a float32 buffer inside code that returns float64.

    They are as small as float32 rounding, not in a few entries only, and unlike those of a
    slightly wrong formula they change completely when the inputs move a little.
    """
    for point in wrong:
        outcome = outcome_of(point, role, name)
        right, bound = right_of(point, role, name)
        if outcome is None or outcome.array is None or outcome.message or outcome.single:
            return False
        error = np.abs(outcome.array - right)
        if not np.all(error <= bound * FLOAT32) or np.mean(error > bound) < _SPREAD:
            return False
    moved = _nudged(case, wrong[0])
    before = outcome_of(wrong[0], role, name)
    after = outcome_of(moved, role, name) if moved else None
    if moved is None or before is None or after is None:
        return False
    if before.array is None or after.array is None:
        return False
    first = before.array - right_of(wrong[0], role, name)[0]
    change = after.array - right_of(moved, role, name)[0] - first
    return bool(np.linalg.norm(change) > _SETTLED * np.linalg.norm(first))


def _nudged(case: Case, point: Point) -> Point | None:
    """The measurement at slightly other inputs."""
    rng = np.random.default_rng([case.seed, 7])

    def moved(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {
            name: v * (1 + _NUDGE * rng.uniform(-1, 1, v.shape)) if v.dtype.kind == "f" else v
            for name, v in values.items()
        }

    probe = replace(
        point.probe, values=moved(point.probe.values), upstream=moved(point.probe.upstream)
    )
    again = measure(case.session, case.reference, case.binding, [probe], case.seed)
    return again.points[0] if again.points else None


def factor_of(case: Case, name: str) -> str | None:
    """The constant by which a gradient is off at every probe: ``2``, ``1/N``; None if it varies."""
    seen: list[tuple[float, Mapping[str, int]]] = []
    for point in case.measured.points:
        outcome = point.gradients.get(name)
        right, bound = right_of(point, "gradient", name)
        if outcome is None or outcome.array is None:
            return None
        if outcome.right:
            continue  # at a size of one, 1/N is 1
        factor = ratio(outcome.array, right, bound)
        if factor is None:
            return None
        seen.append((factor, point.probe.env))
    return factor_name(seen) if seen else None


def course_scale(
    case: Case, gradients: tuple[Compared, ...]
) -> tuple[tuple[Compared, ...], tuple[Remark, ...]]:
    """Take a mean over samples inside the backward of a layer for the convention that it is.

    Accepted when every parameter's gradient has the same factor N or 1/N and the inputs' have
    none.  A loss is averaged in its forward, so there the factor is a mistake.
    """
    variables = {v.name: v for v in case.reference.spec.variables}
    parameters = [c for c in gradients if variables[c.name].role == "parameter"]
    inputs = [c for c in gradients if variables[c.name].role == "input"]
    if case.is_loss or not inputs or not parameters:
        return gradients, ()
    if any(c.standing != "wrong" for c in parameters):
        return gradients, ()
    factors = {factor_of(case, c.name) for c in parameters}
    factor = factors.pop()
    # Samples are counted by the first axis of an input, or by the last where they are columns.
    batch = {str(d) for c in inputs for d in _ends(variables[c.name].shape)}
    if factors or factor is None or factor.removeprefix("1/") not in batch:
        return gradients, ()
    if any(c.standing == "wrong" and factor_of(case, c.name) == factor for c in inputs):
        return gradients, ()
    names = ", ".join(f"d{c.name}" for c in parameters)
    remark = Remark("scale", f"{names}: {factor} times the gradient, as some courses define it")
    fixed = [
        replace(c, standing="ok", message="", worst=None, error=None) if c in parameters else c
        for c in gradients
    ]
    return tuple(fixed), (remark,)


def _ends(shape: Sequence[object]) -> Iterable[object]:
    return (*shape[:1], *shape[-1:])


def followed(case: Case, gradient: Compared) -> Compared:
    """A wrong gradient beside a wrong forward: "follows" where it fits that forward."""
    if gradient.standing != "wrong":
        return gradient
    for point in case.measured.points:
        outcome = point.gradients.get(gradient.name)
        if outcome is None or outcome.array is None:
            return gradient
        if outcome.right:
            continue
        fits = follows(
            _UsersForward(case, point.probe),
            point.values,
            point.probe.upstream,
            gradient.name,
            outcome.array,
            np.random.default_rng([case.seed, 11]),
        )
        return replace(gradient, standing="follows", message="") if fits else gradient
    return gradient


@dataclass(frozen=True, slots=True)
class _UsersForward:
    """The user's own forward as a function of the values."""

    case: Case
    probe: Probe

    def __call__(self, values: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray] | None:
        drawn = {name: values[name] for name in self.probe.values}
        moved = replace(self.probe, values=drawn)
        try:
            run = self.case.session.evaluate(
                moved.arrays,
                moved.scalars,
                seed=self.case.seed,
                max_bytes=moved.max_bytes,
                forward_only=True,
            )
        except CheckTrouble:
            return None
        names = self.case.reference.outputs
        found = {n: run.outputs[n].array for n in names if n in run.outputs}
        arrays = {n: array for n, array in found.items() if array is not None}
        return arrays if len(arrays) == len(names) else None


def restricted(case: Case, gradients: Iterable[Compared]) -> tuple[Remark, ...]:
    """Say so when a wrong backward is right for a special upstream gradient."""
    wrong = any(c.standing == "wrong" for c in gradients)
    if not wrong or case.is_loss or case.binding.upstream is not None:
        return ()
    for kind in ("ones", "one-hot"):
        binding = replace(case.binding, upstream=kind)
        few = [
            p for p, _ in zip(probes(case.reference, binding, case.seed), range(2), strict=False)
        ]
        again = measure(case.session, case.reference, binding, few, case.seed)
        outcomes = [o for p in again.points for o in p.gradients.values()]
        if outcomes and not again.trouble and all(o.right for o in outcomes):
            return (Remark("restricted", f"right when the upstream gradient is {kind}"),)
    return ()
