"""Which mistake explains a wrong gradient.

Hypotheses come from the derivation, never from a layer's name.  One is told only when it explains
every entry at every size to rounding; of several the simplest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradtool.check.causes import proposers
from gradtool.check.diagnose_evidence import Evidence
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_program import Derived, derived
from gradtool.check.judge import Judgement
from gradtool.check.measure import Point
from gradtool.check.reference import Reference
from gradtool.check.result import Cause, Compared
from gradtool.check.session import Session
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Graph

_WIDER = 0.35  # hypotheses dearer than the best by more than this are not looked at


@dataclass(frozen=True, slots=True)
class Explained:
    """A hypothesis that explains a gradient, and how well."""

    hypothesis: Hypothesis
    residual: float


def with_causes(reference: Reference, session: Session, judgement: Judgement) -> Judgement:
    """The judgement, with the cause of each wrong gradient where it is known."""
    verdict = judgement.verdict
    gradients = diagnose(reference, judgement.points, verdict.gradients)
    return replace(judgement, verdict=replace(verdict, gradients=gradients))


def diagnose(
    reference: Reference, points: Sequence[Point], gradients: Sequence[Compared]
) -> tuple[Compared, ...]:
    """The gradients, the wrong ones with their cause where it is known."""
    wrong = [g for g in gradients if g.standing == "wrong"]
    if not wrong or not points:
        return tuple(gradients)
    graph = getattr(reference, "graph", None)
    program: Derived | None = None
    if isinstance(graph, Graph):
        program = _program(graph)
    found: dict[str, tuple[Evidence, list[Explained]]] = {}
    for gradient in wrong:
        variable = next(v for v in reference.spec.variables if v.name == gradient.name)
        evidence = Evidence(reference, variable, tuple(points), program)
        found[gradient.name] = evidence, explanations(evidence)
    return tuple(
        replace(g, cause=cause)
        if g.name in found and (cause := _cause(*found[g.name], found)) is not None
        else g
        for g in gradients
    )


_recent: list[tuple[Graph, Derived | None]] = []  # one layer is often asked for many files
_KEPT = 8


def _program(graph: Graph) -> Derived | None:
    for known, program in _recent:
        if known is graph:
            return program
    try:
        made: Derived | None = derived(graph)
    except UnsupportedError:
        made = None
    _recent.append((graph, made))
    del _recent[:-_KEPT]
    return made


def explanations(evidence: Evidence) -> list[Explained]:
    """The hypotheses that explain a gradient, cheapest first."""
    if not evidence.telling or evidence.telling[0].is_right:
        return []
    with np.errstate(all="ignore"):
        pool = sorted(_proposed(evidence), key=lambda h: h.cost)
    kept: list[Explained] = []
    for hypothesis in pool:
        if kept and hypothesis.cost > kept[0].hypothesis.cost + _WIDER:
            break
        residual = evidence.residual(hypothesis.predict)
        if residual is not None:
            kept.append(Explained(hypothesis, residual))
    return kept


def _proposed(evidence: Evidence) -> Iterable[Hypothesis]:
    for propose in proposers():
        yield from propose(evidence)


def _cause(
    evidence: Evidence,
    kept: Sequence[Explained],
    all_found: dict[str, tuple[Evidence, list[Explained]]],
) -> Cause | None:
    if not kept:
        return None
    keys = [{e.hypothesis.key for e in found} for _, found in all_found.values()]

    def rank(explained: Explained) -> tuple[float, float]:
        shared = sum(explained.hypothesis.key in k for k in keys) - 1
        return (explained.hypothesis.cost - 0.4 * min(shared, 1), explained.residual)

    best = min(kept, key=rank)
    return _told(evidence, best)


def _told(evidence: Evidence, best: Explained) -> Cause:
    hypothesis = best.hypothesis
    proof = hypothesis.proof()
    counted = f"explains all {evidence.entries} entries to {best.residual:.0e}"
    if best.residual == 0:
        counted = f"explains all {evidence.entries} entries exactly"
    return Cause(hypothesis.code, hypothesis.what, 1.0, proof, counted)
