"""From measurements to a verdict: one standing for each output and gradient, then the whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradtool.check import conduct
from gradtool.check.compare import Outcome
from gradtool.check.facts import (
    Case,
    Role,
    course_scale,
    factor_of,
    followed,
    is_single,
    outcome_of,
    restricted,
)
from gradtool.check.measure import Point, offered
from gradtool.check.result import Compared, Remark, Standing, Verdict
from gradtool.ir.dims import Dim, shape_text


def decide(case: Case, file: str, version: str) -> Verdict:
    """The verdict on a case with at least one point."""
    measured, binding, remarks = case.measured, case.binding, list(_remarks(case.measured.points))
    outputs = []
    for name in case.reference.outputs:
        assigned = binding.mentions(name)
        shape = case.reference.output_shapes[name]
        outputs.append(_compared(case, "output", name, shape, assigned, remarks))
    gradients: tuple[Compared, ...] = ()
    for variable in offered(case.reference, binding):
        name = variable.name
        assigned = binding.mentions(f"d{name}") or name in binding.grads
        one = _compared(case, "gradient", name, variable.shape, assigned, remarks)
        gradients = (*gradients, one)
    gradients, scaled = course_scale(case, gradients)
    if any(o.standing == "wrong" for o in outputs):
        gradients = tuple(followed(case, gradient) for gradient in gradients)
    remarks += [*scaled, *restricted(case, gradients), *_unfinished(case)]
    if binding.remark:
        remarks.append(Remark("contract", binding.remark))
    right = all(c.standing == "ok" for c in gradients) and all(
        o.standing in ("ok", "not offered") for o in outputs
    )
    nothing = all(c.error is None and c.standing != "wrong" for c in gradients)
    if right and gradients and measured.trouble is None:
        verdict = "pass"
    else:
        verdict = "error" if nothing and measured.trouble else "fail"
    return Verdict(
        verdict,  # type: ignore[arg-type]  # one of the three
        file,
        case.reference.spec.name,
        binding.called(case.session.inventory),
        binding.convention,
        binding.texts,
        tuple(outputs),
        gradients,
        tuple(dict.fromkeys(remarks)),
        tuple(dict.fromkeys(_conduct(case))),
        tuple(case.session.notes),
        measured.trouble,
        len(measured.points),
        case.seed,
        version,
    )


def _compared(
    case: Case,
    role: Role,
    name: str,
    dims: Sequence[Dim],
    assigned: bool,
    remarks: list[Remark],
) -> Compared:
    """All probes of one output or gradient together."""
    shape, points = shape_text(dims), case.measured.points
    there = [(p, o) for p in points if (o := outcome_of(p, role, name)) is not None]
    if not there:
        trouble = case.measured.trouble is not None
        standing: Standing = "not computed" if trouble and assigned else "not offered"
        return Compared(name, shape, standing)
    error = max((o.error for _, o in there if o.error is not None), default=None)
    wrong = [(p, o) for p, o in there if not o.right]
    if wrong and is_single(case, role, name, [p for p, _ in wrong]):
        label = name if role == "output" else f"d{name}"
        text = f"{label} went through float32 inside the code and was judged as float32"
        remarks.append(Remark("float32", text))
        return Compared(name, shape, "ok", error)
    if wrong:
        return _wrong(case, role, Compared(name, shape, "wrong", error), there, wrong)
    if len(there) < len(points):
        return Compared(name, shape, "not computed", error, message=_where(case))
    return Compared(name, shape, "ok", error)


def _wrong(
    case: Case,
    role: Role,
    base: Compared,
    there: Sequence[tuple[Point, Outcome]],
    wrong: Sequence[tuple[Point, Outcome]],
) -> Compared:
    first, outcome = wrong[0]
    if all(o.array is None and o.kind == "none" for _, o in wrong):
        return Compared(base.name, base.shape, "not computed", message=outcome.message)
    messages = [outcome.message] if outcome.message else []
    if role == "gradient" and not messages and (factor := factor_of(case, base.name)):
        messages.append(f"it is {factor} times the right one in every entry")
    if len(wrong) < len(there):
        good = len(there) - len(wrong)
        messages.append(f"right at {good} of {len(there)} sizes, wrong at {_sizes(first)}")
    text = "; ".join(messages)
    return Compared(base.name, base.shape, "wrong", base.error, outcome.worst, text)


def _sizes(point: Point) -> str:
    return ", ".join(f"{name}={size}" for name, size in point.probe.sizes.items())


def _where(case: Case) -> str:
    return "fails at " + ", ".join(f"{n}={size}" for n, size in case.measured.trouble_at.items())


def _remarks(points: Sequence[Point]) -> Iterable[Remark]:
    """What the comparisons remarked, once for each array."""
    outcomes = [o for p in points for o in (*p.outputs.values(), *p.gradients.values())]
    # A shape that differs harmlessly at a size of one is no remark where it is wrong elsewhere.
    wrong = {o.message.split(" ")[0] for o in outcomes if o.array is None}
    remarks = [r for o in outcomes for r in o.remarks]
    # A message begins with the array's name; sizes further on differ between the probes.
    found = {(r.code, name): r for r in remarks if (name := r.message.split(" ")[0]) not in wrong}
    return found.values()


def _unfinished(case: Case) -> list[Remark]:
    trouble = case.measured.trouble
    if trouble is not None and trouble.message.startswith("NotImplementedError"):
        return [Remark("unfinished", "the code raises NotImplementedError")]
    values = [value for p in case.measured.points for value in p.run.gradients.values()]
    if values and all(value.kind == "none" for value in values):
        return [Remark("unfinished", "every gradient is None: nothing is computed yet")]
    return []


def _conduct(case: Case) -> list[Remark]:
    points = case.measured.points
    found = conduct.of_runs(p.run for p in points)
    if len(case.drawn) > 1 and case.measured.trouble is None:
        first, other = case.drawn[:2]
        found += conduct.of_repetition(case.session, first, other, points[0].run, case.seed)
    return found
