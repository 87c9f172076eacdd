"""Which mistake explains a wrong output.

The change of the user's forward pass that makes the output right tells it; where there is none,
the numbers do: a factor of the whole or of one term, or one line of the derivation's own forward
pass that is slightly different.  The gradients beside it are judged against the user's own
forward, so that one mistake is reported once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from gradtool.check.causes import lines, trees
from gradtool.check.causes.terms import numbers_at
from gradtool.check.diagnose_budget import AFTER_CODE, BY_NUMBERS, OF_LOOPS, Budget
from gradtool.check.diagnose_choice import Explained, of_output, told
from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_factors import Factor, named
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_program import Array, Bench, Derived, Grain, written
from gradtool.check.guards import SMALL
from gradtool.check.measure import Point
from gradtool.check.reference import Reference
from gradtool.check.repairs.targets import Repair
from gradtool.check.result import Cause, Compared
from gradtool.ir.graph import Statement
from gradtool.ir.poly import Poly, Term
from gradtool.ir.walk import accesses
from gradtool.records import Struct, replace

_MOST_POINTS, _MORE_POINTS, _MOST_TERMS = 6, 4, 6
_FIT = 1e-9
_OF_A_TERM = frozenset({"regulariser", "missing-term", "missing-path", "scale"})
_SCALES = frozenset(
    {"scale", "sum-for-mean", "mean-for-sum", "sign", "wrong-axis", "constant", "unbiased"}
)
_APART = 0.2  # an explanation of another kind that is no dearer than this is as good
_DEAREST = 1.6
_FAR = 1e-2  # what is off by more is no guard
_POINTS = 3  # with another value: fewer prove nothing


class ForwardGrain(Grain, frozen=True, dict=True):
    """The forward pass alone, one output the wanted value; nothing in it is a gradient."""

    @cached_property
    def cotangents(self) -> frozenset[str]:
        return frozenset()


class OutputEvidence(Evidence, dict=True):
    """One wrong output, seen as a gradient is; `variable` has its name and shape."""

    @property
    def label(self) -> str:
        return self.output

    @property
    def output(self) -> str:
        return self.variable.name.removeprefix("output ")

    def _seen(self, number: int, point: Point) -> Seen | None:
        outcome, value = point.outputs.get(self.output), point.run.outputs.get(self.output)
        if outcome is None or value is None or outcome.array is None:
            return None
        got, right = outcome.array, point.expected.outputs[self.output]
        bound = point.expected.output_bounds[self.output]
        if not np.all(np.isfinite(got)) or got.shape != right.shape:
            return None
        return Seen(number, point, got, right, bound, value.dtype)

    @property
    def grains(self) -> tuple[Grain, ...]:
        if self.derived is None or self.tier:
            return ()
        graph, closed = self.derived.graph, self.derived.grains[0]
        grain = ForwardGrain(
            "forward", tuple(graph.statements), 0, {self.name: self.output}, closed.shown
        )
        found: tuple[Grain, ...] = self.derived.remembered("grains", self.name, lambda: (grain,))
        return found

    def bench(self, grain: Grain, number: int) -> Bench:
        bench = super().bench(grain, number)
        bench.is_loss = False  # no upstream gradient takes part
        return bench


def of_outputs(
    reference: Reference,
    program: Derived | None,
    points: Sequence[Point],
    outputs: Sequence[Compared],
    repaired: Mapping[str, tuple[Repair, ...]] | None,
) -> tuple[Compared, ...]:
    """The outputs, the wrong ones with their cause where it is known.

    `repaired` are changes of the user's code with which ``output Y`` is right; None where only
    the numbers may be looked at, until they tell.
    """
    loops = program is not None and program.has_loops
    seconds = BY_NUMBERS if repaired is None else OF_LOOPS if loops else AFTER_CODE / 2
    repaired = repaired or {}
    return tuple(
        _explained(reference, program, points, o, repaired.get(f"output {o.name}", ()), seconds)
        if o.standing == "wrong" and o.cause is None
        else o
        for o in outputs
    )


def _explained(
    reference: Reference,
    program: Derived | None,
    points: Sequence[Point],
    output: Compared,
    repaired: Sequence[Repair],
    seconds: float,
) -> Compared:
    factor = _up_to_a_factor(reference, points, output.name)
    # Right up to a factor is a mistake of scale, whatever else would mend it.
    own = [r for r in repaired if r.fix.code in _SCALES] if factor is not None else repaired
    if factor is not None and not own:
        return replace(output, cause=factor)
    if own:
        cause, at = of_output(own)
        if at is None:
            return replace(output, cause=cause)
        return replace(output, cause=cause, line=at.line, source=at.source, place=at.place)
    found = by_numbers(reference, program, points, output.name, Budget(seconds))
    return output if found is None else replace(output, cause=found)


def by_numbers(
    reference: Reference,
    program: Derived | None,
    points: Sequence[Point],
    output: str,
    budget: Budget,
) -> Cause | None:
    """What the numbers of an output tell; None where that is nothing, or more than one thing."""
    evidence = _evidence(reference, program, points, output, budget)
    if sum(not s.is_right for s in evidence.seen) < _POINTS:
        return None
    kept: list[Explained] = []
    with np.errstate(all="ignore"):
        pool = sorted(_proposed(evidence), key=lambda h: h.cost)
    for hypothesis in pool:
        dearest = kept[0].hypothesis.cost + _APART if kept else _DEAREST
        if hypothesis.cost > dearest or budget.spent():
            break
        residual = evidence.residual(hypothesis.predict)
        if residual is not None:
            kept.append(Explained(hypothesis, residual))
    codes = {e.hypothesis.code for e in kept}
    if not kept or (len(codes) > 1 and not codes <= _OF_A_TERM):
        return None
    return told(evidence, kept[0])


def _evidence(
    reference: Reference,
    program: Derived | None,
    points: Sequence[Point],
    output: str,
    budget: Budget,
) -> OutputEvidence:
    shape = reference.output_shapes[output]
    variable = replace(reference.spec.variables[0], name=f"output {output}", shape=shape)
    plain = [p for p in points if not p.probe.setting.constants]
    plain = _without_guarded(plain, output)
    ordered = sorted(plain, key=lambda p: p.probe.setting.work)
    few, more = tuple(ordered[:_MOST_POINTS]), tuple(ordered[_MOST_POINTS:][:_MORE_POINTS])
    return OutputEvidence(reference, variable, few, program, larger=more, budget=budget)


def _without_guarded(points: Sequence[Point], output: str) -> list[Point]:
    """Without those at which an output, far off elsewhere, is moved by a guard: ``log(p + 1e-9)``.

    With one class only a cross-entropy is zero, and all that is left of it is such a guard.
    """
    off = {id(p): _off(p, output) for p in points}
    if max(off.values(), default=0.0) < _FAR:
        return list(points)
    return [p for p in points if off[id(p)] > SMALL or p.outputs[output].right]


def _off(point: Point, output: str) -> float:
    """How far off the output of a point is, at most; far where it cannot be compared."""
    outcome = point.outputs.get(output)
    if outcome is None or outcome.array is None:
        return np.inf
    with np.errstate(invalid="ignore"):
        return float(np.max(np.abs(outcome.array - point.expected.outputs[output]), initial=0.0))


def _up_to_a_factor(reference: Reference, points: Sequence[Point], output: str) -> Cause | None:
    evidence = _evidence(reference, None, points, output, Budget())
    for hypothesis in _whole(evidence):
        residual = evidence.residual(hypothesis.predict)
        if residual is not None:
            return told(evidence, Explained(hypothesis, residual))
    return None


def _proposed(evidence: OutputEvidence) -> Iterator[Hypothesis]:
    if evidence.derived is not None:
        yield from _of_a_term(evidence)
        yield from lines.propose(evidence)
        yield from trees.propose(evidence)


class _Scaled(Struct, frozen=True):
    """The output with a part of it taken so often: `others` and the part make up the whole."""

    part: Callable[[Seen], Array]
    others: Callable[[Seen], Array | float]
    factor: Factor

    def predict(self, seen: Seen) -> Array:
        return np.asarray(self.others(seen) + self.factor.value(numbers_at(seen)) * self.part(seen))


def _scaled(
    evidence: Evidence,
    part: Callable[[Seen], Array],
    others: Callable[[Seen], Array | float],
) -> _Scaled | None:
    """The factor of a part that explains an output, if it has a name."""
    values, at = [], []
    for seen in evidence.seen:
        basis, error = part(seen), seen.got - others(seen)
        power = float(np.vdot(basis, basis))
        if not power or not np.all(np.isfinite(error)):
            continue
        value = float(np.vdot(basis, error)) / power
        scale = float(np.max(np.abs(seen.got), initial=0.0)) + float(np.max(np.abs(error)))
        if np.any(np.abs(error - value * basis) > _FIT * scale):
            return None
        values.append(value)
        at.append(numbers_at(seen))
    found = named(values, at) if len(values) >= _POINTS else None
    if found is None or found.text == "1" or "." in found.text:
        return None
    return _Scaled(part, others, found)


def _whole(evidence: OutputEvidence) -> Iterator[Hypothesis]:
    """The output up to a factor: not averaged, halved, of the wrong sign."""
    made = _scaled(evidence, lambda seen: seen.right, lambda seen: 0.0)
    if made is None or made.factor.text == "0":
        return
    label, text = evidence.output, made.factor.text
    sizes = {str(d) for v in evidence.reference.spec.variables for d in v.shape}
    code, what = "scale", f"{label} is {text} times what is right"
    if text == "-1":
        code, what = "sign", f"the sign of {label} is wrong"
    elif text in sizes:
        code, what = "sum-for-mean", f"{label} is not averaged: {text} times what is right"
    elif text.removeprefix("1/") in sizes:
        code, what = "mean-for-sum", f"{label} is averaged: {text} times what is right"
    proof = f"your {label} equals {text} times the right one"
    yield Hypothesis(code, 0.9, what, made.predict, lambda: proof)


def _of_a_term(evidence: OutputEvidence) -> Iterator[Hypothesis]:
    """One term of a sum with a factor: a penalty that is missing, or counts twice."""
    for grain in evidence.grains:
        place = grain.place(evidence.output)
        statement = grain.statements[place] if place is not None else None
        if isinstance(statement, Statement) and 2 <= len(statement.body.terms) <= _MOST_TERMS:
            for term in statement.body.terms:
                yield from _of_one(evidence, grain, statement, term)


def _of_one(
    evidence: OutputEvidence, grain: Grain, statement: Statement, term: Term
) -> Iterator[Hypothesis]:
    rest = [other for other in statement.body.terms if other is not term]

    def own(seen: Seen) -> Array:
        return evidence.bench(grain, seen.number).term(statement, term)

    def others(seen: Seen) -> Array | float:
        bench = evidence.bench(grain, seen.number)
        return sum((bench.term(statement, other) for other in rest), 0.0)

    made = _scaled(evidence, own, others)
    if made is None:
        return
    text = made.factor.text
    penalty = _is_penalty(evidence, grain, term)
    shown = written(grain, Poly((term,)), statement.free).removeprefix("-")
    name = " ".join(filter(None, ("the penalty" if penalty else "the term", shown)))
    words = {"0": "is missing", "2": "is doubled", "1/2": "is halved", "-1": "has the wrong sign"}
    code = "missing-term" if text == "0" else "scale"
    if text == "-1":
        code = "sign"
    elif penalty:
        code = "regulariser"
    what = f"{name} {words.get(text, f'is taken {text} times')}"
    yield Hypothesis(code, 0.9, what, made.predict, key=text)


def _is_penalty(evidence: Evidence, grain: Grain, term: Term) -> bool:
    """Whether a term of a loss is made of parameters alone."""
    roles = {v.name: v.role for v in evidence.reference.spec.variables}
    read = {a.tensor.name for a in accesses(Poly((term,)))}
    while made := {name for name in read if grain.place(name) is not None}:
        read -= made
        read |= {n for m in made if (k := grain.place(m)) is not None for n in grain.reads[k]}
    return bool(read) and all(roles.get(name) == "parameter" for name in read)
