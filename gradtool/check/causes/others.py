"""The gradient of something else: another parameter's, in another order, the upstream, nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_program import Array, Grain


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.tier:
        return
    label = evidence.label

    def right(name: str, seen: Seen) -> Array:
        return np.asarray(seen.point.expected.gradients[name])

    for variable in evidence.reference.spec.variables:
        other = variable.name
        if other == evidence.name or not variable.differentiable:
            continue
        code, what = "wrong-gradient", f"it is the gradient of {other}"
        if _swapped(evidence, other):
            code, what = "order", f"d{other} and {label} are returned in each other's place"
        yield Hypothesis(
            code, 0.6, what, lambda seen, o=other: right(o, seen),  # type: ignore[misc]
            lambda o=other: f"your {label} equals the right d{o}",  # type: ignore[misc]
            f"order {min(other, evidence.name)} {max(other, evidence.name)}",
        )  # fmt: skip
        yield Hypothesis(
            "wrong-gradient", 0.9, f"it is the transposed gradient of {other}",
            lambda seen, o=other: right(o, seen).T,  # type: ignore[misc]
            lambda o=other: f"your {label} equals the right d{o}.T",  # type: ignore[misc]
        )  # fmt: skip
    yield Hypothesis(
        "zero", 0.5, "nothing arrives: it is zero everywhere",
        # Exactly zero: a sum that cancels leaves a trace of rounding.
        lambda seen: np.zeros(seen.right.shape) if not np.any(seen.got) else None,
        lambda: f"your {label} is zero",
    )  # fmt: skip
    for name in evidence.reference.outputs:
        yield Hypothesis(
            "wrong-gradient", 1.0, f"it is the upstream gradient d{name} itself",
            lambda seen, n=name: np.asarray(seen.point.probe.upstream[n]),  # type: ignore[misc]
            lambda n=name: f"your {label} equals d{n}",  # type: ignore[misc]
        )  # fmt: skip
    for variable in evidence.reference.spec.variables:
        name = variable.name
        yield Hypothesis(
            "wrong-tensor", 1.0, f"it is {name} itself",
            lambda seen, n=name: np.asarray(seen.point.values[n], dtype=float),  # type: ignore[misc]
            lambda n=name: f"your {label} equals {n}",  # type: ignore[misc]
        )  # fmt: skip
    yield from _inner(evidence)


def _inner(evidence: Evidence) -> Iterator[Hypothesis]:
    """A value on the way, returned as it is."""
    label = evidence.label
    for grain in evidence.grains[:2]:
        for statement in grain.statements:
            name = statement.out.name
            if statement.out.kind != "real" or statement.hidden or name == label:
                continue
            factor = name in grain.cotangents

            def value(seen: Seen, n: str = name, g: Grain = grain, f: bool = factor) -> Array:
                bench = evidence.bench(g, seen.number)
                return np.asarray(bench.known[n]) * (bench.factor if f else 1.0)

            code = "wrong-gradient" if factor else "wrong-tensor"
            what = f"it is {name} itself"
            yield Hypothesis(code, 1.05, what, value, lambda n=name: f"your {label} equals {n}")  # type: ignore[misc]


def _swapped(evidence: Evidence, other: str) -> bool:
    """Whether the other gradient is not right either, so that the two may have changed places."""
    outcomes = [p.gradients.get(other) for p in evidence.points]
    return any(o is not None and not o.right for o in outcomes)
