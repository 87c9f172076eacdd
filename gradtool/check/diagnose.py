"""Which mistake explains a wrong gradient.

Hypotheses come from the derivation, never from a layer's name.  One is told only when it explains
every entry at every size to rounding; of several the simplest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeAlias

import numpy as np

from gradtool.check import diagnose_program
from gradtool.check.causes import proposers, terms
from gradtool.check.causes.catalogue import title
from gradtool.check.compare import is_near
from gradtool.check.diagnose_budget import AFTER_CODE, BY_NUMBERS, TOLD, Budget
from gradtool.check.diagnose_choice import PLAIN, Explained, by_code, by_numbers
from gradtool.check.diagnose_evidence import Evidence
from gradtool.check.diagnose_forward import of_outputs
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_inner import line_of
from gradtool.check.diagnose_pairs import pairs
from gradtool.check.diagnose_pattern import heat, pattern
from gradtool.check.diagnose_program import Bench, Derived, derived
from gradtool.check.diagnose_where import Where, where
from gradtool.check.judge import Judgement
from gradtool.check.measure import Point, bind
from gradtool.check.reference import Reference
from gradtool.check.repairs.search import repairs
from gradtool.check.repairs.targets import Repair
from gradtool.check.result import Cause, Compared, Remark
from gradtool.check.scale import factor_name, ratio
from gradtool.check.session import CheckTrouble, Session
from gradtool.ir import atoms, dims
from gradtool.ir import graph as graphs
from gradtool.ir import index as indices
from gradtool.ir import poly as polys
from gradtool.ir import tree as trees
from gradtool.ir.errors import TooLargeError, UnsupportedError
from gradtool.ir.graph import Graph
from gradtool.ir.store import StoreError, classes_of, pack, unpack
from gradtool.records import replace

_WIDER = 0.35  # hypotheses dearer than the best by more than this are not looked at
_POINTS = 4  # the small ones lead
_LARGER = 6  # what explains these is tried again at some larger ones
_TIMES, _SMALL_WORK = 4, 200
_MOST_WORK = 20_000  # scalar operations of a point that a hypothesis is tried at
_APART = 0.2
_ROUNDED = 1e-11  # of the largest entry: the same but for rounding
Inner: TypeAlias = tuple[Point, np.ndarray]  # what a value inside is at a point with the mistake
_LINE_BY_LINE = ("staged", "single")  # grains whose lines are those of the forward pass


def with_causes(reference: Reference, session: Session, judgement: Judgement) -> Judgement:
    """The judgement, with cause and place of what is wrong where they are known."""
    verdict, binding = judgement.verdict, judgement.binding
    repaired = _repairs(reference, session, judgement)
    inner: dict[str, Inner] = {}
    found = _with_causes(reference, judgement, repaired, inner).verdict

    def at(name: str) -> Where | None:
        if binding is not None and name in inner:
            point, value = inner[name]
            # What is right for another value, as where a factor was forgotten, is no mistake.
            right = any(
                is_near(one.squeeze(), value.squeeze(), _ROUNDED)
                for one in _cotangents(reference, point)
            )
            if (
                not right
                and (line := line_of(session, binding, point, value, verdict.seed)) is not None
            ):
                return line
        return where(session.file, binding, name)

    placed = tuple(
        replace(g, line=line.line, source=line.source, place=line.place)
        if g.standing == "wrong" and g.line is None and (line := at(g.name))
        else g
        for g in found.gradients
    )
    remarks = _needed(verdict.remarks, placed)
    return replace(judgement, verdict=replace(found, gradients=placed, remarks=remarks))


def with_causes_of_numbers(reference: Reference, judgement: Judgement) -> Judgement:
    """The judgement with the causes that the numbers alone tell."""
    return _with_causes(reference, judgement, None)


def _with_causes(
    reference: Reference,
    judgement: Judgement,
    repaired: Mapping[str, tuple[Repair, ...]] | None,
    inner: MutableMapping[str, Inner] | None = None,
) -> Judgement:
    """With the changes of the code that were found; None where only the numbers may be asked.

    `inner` gets the values inside in which these see the mistake.
    """
    verdict, points = judgement.verdict, judgement.points
    forward = verdict.forward
    if any(o.standing == "wrong" for o in forward):
        forward = of_outputs(reference, _program(reference), points, forward, repaired)
    gradients = diagnose(reference, points, verdict.gradients, repaired, inner)
    return replace(judgement, verdict=replace(verdict, forward=forward, gradients=gradients))


def _repairs(
    reference: Reference, session: Session, judgement: Judgement
) -> Mapping[str, tuple[Repair, ...]]:
    verdict = judgement.verdict
    wrong = [
        f"output {o.name}" for o in verdict.forward if o.standing == "wrong" and o.cause is None
    ]
    wrong += [
        f"gradient {g.name}" for g in verdict.gradients if g.standing == "wrong" and g.cause is None
    ]
    if judgement.binding is None or not wrong:
        return {}
    try:
        bind(session, reference, judgement.binding)
    except CheckTrouble:
        return {}
    seed, binding = judgement.verdict.seed, judgement.binding
    cotangents = partial(_cotangents, reference)
    found = repairs(session, binding, judgement.points, wrong, seed, cotangents)
    lacking = [key for key in wrong if key not in found and key.startswith("gradient ")]
    names = [key.partition(" ")[2] for key in wrong if key.startswith("gradient ")]
    known = (_factor(judgement.points, name) for name in names if lacking)
    factors = {factor for factor in known if factor not in (None, "0")}
    if len(factors) == 1:
        # One gradient lacks a factor alone; what else is wrong with another lacks it likely, too.
        (factor,) = factors
        scale = {key.partition(" ")[2]: f"1/({factor})" for key in lacking}
        scaled = replace(binding, scale={**binding.scale, **scale})
        more = repairs(session, scaled, judgement.points, lacking, seed, cotangents)
        beside = {k: tuple(replace(r, factor=factor) for r in rs) for k, rs in more.items()}
        found = {**found, **beside}
    return found


def _factor(points: Sequence[Point], name: str) -> str | None:
    """The constant by which a gradient is off where it is wrong: ``1/N``; None where there is
    none."""
    seen: list[tuple[float, Mapping[str, int]]] = []
    for point in points:
        outcome = point.gradients.get(name)
        if outcome is None or outcome.array is None or outcome.bound is None:
            return None
        if not outcome.right:
            factor = ratio(outcome.array, point.expected.gradients[name], outcome.bound)
            if factor is None:
                return None
            seen.append((factor, point.probe.env))
    return factor_name(seen) if seen else None


def _cotangents(reference: Reference, point: Point) -> list[np.ndarray]:
    """The right gradients of inner values at a point, line by line."""
    program = _program(reference)
    found: list[np.ndarray] = []
    if program is None:
        return found
    for grain in (one for one in program.grains if one.name in _LINE_BY_LINE):
        bench = Bench.at(grain, program.graph, point)
        try:
            with np.errstate(all="ignore"):
                known = bench.known
        except (ArithmeticError, TooLargeError, UnsupportedError):
            continue
        inner = grain.cotangents - {*grain.gradients.values(), *grain.upstream}
        found += [known[name] * bench.factor for name in sorted(inner)]
    return [array for array in found if np.isfinite(array).all()]


def _needed(remarks: tuple[Remark, ...], gradients: Sequence[Compared]) -> tuple[Remark, ...]:
    """Without the upstream gradients for which it is right, where it is known what is wrong."""
    wrong = [g for g in gradients if g.standing == "wrong"]
    told = {g.cause.code for g in wrong if g.cause is not None and g.cause.explains}
    if "upstream-ignored" in told or any(not (g.cause and g.cause.explains) for g in wrong):
        return remarks
    return tuple(r for r in remarks if not r.message.startswith("right when the upstream"))


def diagnose(
    reference: Reference,
    points: Sequence[Point],
    gradients: Sequence[Compared],
    repaired: Mapping[str, tuple[Repair, ...]] | None = None,
    inner: MutableMapping[str, Inner] | None = None,
) -> tuple[Compared, ...]:
    """The gradients, the wrong ones with their cause where it is known.

    `repaired` are changes of the user's code with which ``gradient X`` is right; None where only
    the numbers may be looked at.  `inner` gets the values inside in which these see the mistake.
    """
    wrong = [g for g in gradients if g.standing == "wrong" and g.cause is None]
    if not points or not any(g.standing in ("wrong", "follows") for g in gradients):
        return tuple(gradients)
    program = _program(reference) if wrong else None
    loops = program is not None and program.has_loops
    told = repaired and all(f"gradient {g.name}" in repaired for g in wrong)
    tried = TOLD if told else AFTER_CODE
    whole = Budget(BY_NUMBERS if repaired is None else tried)
    repaired = repaired or {}
    right = frozenset(g.name for g in gradients if g.standing == "ok")
    found: dict[str, tuple[Evidence, list[Explained]]] = {}
    for number, gradient in enumerate(wrong):
        variable = next(v for v in reference.spec.variables if v.name == gradient.name)
        share = Budget(whole.left / (len(wrong) - number))
        telling = _telling(points, gradient.name)
        evidence = Evidence(
            reference,
            variable,
            telling,
            program,
            larger=_larger(points, telling, gradient.name),
            calls=tuple(points),
            right=right,
            budget=share,
        )
        # To play every mistake of a loop through takes long: where the code tells it, it is told.
        mine = repaired.get(f"gradient {gradient.name}", ())
        known = bool(mine) and (loops or mine[0].of_forward)
        kept = [] if known else explanations(evidence, plainly=bool(mine))
        if not _is_zero(points, gradient.name):
            # Small points may hold zeros only, as a hinge that is inactive does.
            kept = [e for e in kept if e.hypothesis.code != "zero"]
        found[gradient.name] = evidence, kept
    inner = {} if inner is None else inner
    return tuple(
        _explained(g, found, repaired.get(f"gradient {g.name}", ()), inner) for g in gradients
    )


def _telling(points: Sequence[Point], name: str) -> tuple[Point, ...]:
    """Few and small points: every hypothesis is tried at each of them."""
    plain = _plain(points, name)
    if not plain:
        return ()
    most = max(_TIMES * plain[0].probe.setting.work, _SMALL_WORK)
    few = [p for p in plain if p.probe.setting.work <= most][:_POINTS]
    wrong = [p for p in plain if not p.gradients[name].right]
    if wrong and all(p.gradients[name].right for p in few):
        smallest = min(wrong, key=lambda p: p.probe.setting.work)
        few = [*few, smallest] if smallest.probe.setting.work <= _MOST_WORK else few
    return tuple(few)


def _larger(points: Sequence[Point], telling: Sequence[Point], name: str) -> tuple[Point, ...]:
    """The next larger points."""
    rest = [p for p in _plain(points, name) if p not in telling]
    rest = [p for p in rest if p.probe.setting.work <= _MOST_WORK]
    return tuple(sorted(rest, key=lambda p: p.probe.setting.work)[:_LARGER])


def _plain(points: Sequence[Point], name: str) -> list[Point]:
    """Other constants than the spec's are not what the derivation is evaluated with."""
    return [p for p in points if not p.probe.setting.constants and name in p.gradients]


def _is_zero(points: Sequence[Point], name: str) -> bool:
    """Whether the user's gradient is zero at every point."""
    got = [outcome.array for p in points if (outcome := p.gradients.get(name)) is not None]
    return not any(array is not None and np.any(array) for array in got)


def _explained(
    gradient: Compared,
    found: Mapping[str, tuple[Evidence, list[Explained]]],
    repaired: Sequence[Repair],
    inner: MutableMapping[str, Inner],
) -> Compared:
    if gradient.standing == "follows":
        what = "it is the derivative of your own forward, and that differs from the spec"
        return replace(gradient, cause=Cause("own-forward", what, 1.0, title=title("own-forward")))
    if gradient.name not in found or gradient.cause is not None:
        return gradient
    evidence, kept = found[gradient.name]
    if repaired:
        cause, at = by_code(evidence, kept, repaired, found)
        if at is None:
            return replace(gradient, cause=cause)
        return replace(gradient, cause=cause, line=at.line, source=at.source, place=at.place)
    if kept:
        cause, best = by_numbers(evidence, kept, found)
        if best is not None and best.hypothesis.inner is not None:
            first = evidence.telling[0]
            with np.errstate(all="ignore"):
                value = best.hypothesis.inner(first)
            if value is not None:
                inner[gradient.name] = first.point, value
        return replace(gradient, cause=cause)
    seen = pattern(evidence)
    if seen is None:
        return gradient
    code, what = seen
    if evidence.budget.is_cut:
        what += "; not every mistake was tried"
    cause = Cause(code, what, 0.0, title=title(code))
    return replace(gradient, cause=cause, heat=heat(evidence))


_recent: list[tuple[Reference, Derived | None]] = []  # one layer is often asked for many files
_KEPT = 8
_KIND = "program"


def _program(reference: Reference) -> Derived | None:
    for known, program in _recent:
        if known is reference:
            return program
    store = getattr(reference, "store", None)
    made = _kept(store.get(_KIND)) if store is not None else None
    if made is None:
        made = _derived(reference)
        if made is not None and store is not None:
            with suppress(StoreError):
                store.put(_KIND, pack((made.graph, made.grains)))
    _recent.append((reference, made))
    del _recent[:-_KEPT]
    return made


def _derived(reference: Reference) -> Derived | None:
    graph = getattr(reference, "graph", None)
    try:
        return derived(graph) if isinstance(graph, Graph) else None
    except UnsupportedError:
        return None


def _kept(nodes: object) -> Derived | None:
    """What an earlier run derived; None when there is none, or it is damaged."""
    if nodes is None:
        return None
    modules = (atoms, dims, graphs, indices, polys, trees, diagnose_program)
    try:
        graph, grains = unpack(nodes, classes_of(*modules))
        return Derived(graph, grains)
    except (StoreError, TypeError, ValueError):
        return None


def explanations(evidence: Evidence, plainly: bool = False) -> list[Explained]:
    """The hypotheses that explain a gradient, cheapest first; `plainly` the usual ones alone."""
    if not evidence.telling or evidence.telling[0].is_right or evidence.is_noise:
        return []
    kept: list[Explained] = []
    usual: list[Hypothesis] = []
    for tier in (0, 1):
        evidence.tier = tier
        with np.errstate(all="ignore"):
            pool = sorted(_proposed(evidence, plainly), key=lambda h: h.cost)
        best = min((e.hypothesis.cost for e in kept), default=np.inf)
        for hypothesis in pool:
            if hypothesis.cost > best + _WIDER or evidence.budget.spent():
                break
            residual = evidence.residual(hypothesis.predict)
            if residual is not None:
                kept.append(Explained(hypothesis, residual))
                best = min(best, hypothesis.cost)
        if best <= PLAIN:
            break
        if tier == 0:
            usual = pool
    if not kept and not plainly and not evidence.budget.spent():
        evidence.tier = 0
        with np.errstate(all="ignore"):
            for hypothesis in sorted(pairs(evidence, usual), key=lambda h: h.cost):
                residual = evidence.residual(hypothesis.predict)
                if residual is not None:
                    kept.append(Explained(hypothesis, residual))
        # There are far more pairs than single mistakes: where several fit, each is a guess.
        likely = [e for e in kept if e.hypothesis.cost < kept[0].hypothesis.cost + _APART]
        if len({_kind(e.hypothesis) for e in likely}) > 1:
            return []
    return sorted(kept, key=lambda e: e.hypothesis.cost)


def _kind(hypothesis: Hypothesis) -> str:
    if hypothesis.code != "two-mistakes":
        return hypothesis.code
    return hypothesis.key or hypothesis.what


def _proposed(evidence: Evidence, plainly: bool) -> Iterable[Hypothesis]:
    """What is proposed in a tier; `plainly`, of the unusual grains the factors of paths alone."""
    for propose in (terms.propose,) if plainly and evidence.tier else proposers():
        with suppress(TooLargeError):  # what one kind of mistake cannot compute, another may
            yield from propose(evidence)
