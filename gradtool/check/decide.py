"""From measurements to a verdict: one standing for each output and gradient, then the whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Literal

import numpy as np

from gradtool.check import conduct
from gradtool.check.batches import point_of, probe_of
from gradtool.check.compare import Outcome, Role
from gradtool.check.draws import of_draws, zero_by_draw
from gradtool.check.ends import at_ends
from gradtool.check.facts import (
    Case,
    course_scale,
    factor_of,
    fits,
    followed,
    outcome_of,
    restricted,
)
from gradtool.check.guards import SMALL, guard_of
from gradtool.check.kinked import at_kinks
from gradtool.check.looks import Looks
from gradtool.check.measure import Point, everything_of, is_zero, offered
from gradtool.check.memory_order import in_memory_order
from gradtool.check.offsets import without_offsets
from gradtool.check.result import Compared, Remark, Standing, Verdict, Worst, is_lost
from gradtool.check.second_batch import second_batch
from gradtool.check.shown import Shown
from gradtool.check.sizes import rule
from gradtool.check.stress import under_stress
from gradtool.check.telling import untold
from gradtool.check.ungiven import not_given
from gradtool.check.unwritten import unfinished
from gradtool.check.zeros import at_zeros
from gradtool.ir.dims import Dim, shape_text, sizes_text
from gradtool.records import replace

_GONE = "what would have been asked further: your code hung or ended the process again and again"


def decide(case: Case, file: str, version: str) -> Verdict:
    """The verdict on a case with at least one point."""
    measured, binding, remarks = case.measured, case.binding, list(_remarks(case.measured.points))
    outputs = []
    guarded: set[str] = set()
    for name in case.reference.outputs:
        assigned = binding.mentions(name)
        shape = case.reference.output_shapes[name]
        outputs.append(_compared(case, "output", name, shape, assigned, remarks, guarded))
    gradients: tuple[Compared, ...] = ()
    outputs_guarded = frozenset(guarded)
    for variable in offered(case.reference, binding):
        name = variable.name
        assigned = binding.mentions(f"d{name}") or name in binding.grads
        one = _compared(
            case, "gradient", name, variable.shape, assigned, remarks, guarded, outputs_guarded
        )
        gradients = (*gradients, one)
    scaled_case, gradients, scaled = course_scale(case, gradients)
    if any(o.standing == "wrong" for o in outputs):
        wrong = outputs
        outputs, guards = _without_guard(case, wrong, gradients)
        guarded |= {new.name for old, new in zip(wrong, outputs, strict=True) if old != new}
        remarks += guards
        gradients = tuple(followed(case, gradient) for gradient in gradients)
    own = bool(outputs_guarded) or any(o.standing == "wrong" for o in outputs)
    if not own and any(g.standing == "wrong" for g in gradients):
        from gradtool.check.stepped import by_differences

        # Of a forward that is another function, or guarded, the true derivative is as far from
        # the spec's as a difference is.
        gradients = tuple(by_differences(case, gradient) for gradient in gradients)
    outputs, gradients = _decided(case, outputs, gradients)
    remarks += [*scaled, *restricted(case, gradients), *_unfinished(case), *_unproved(case)]
    remarks += [*untold(case), *not_given(case, outputs)]
    remarks += [Remark("constant", text) for text in measured.refused]
    remarks += [Remark("restricted", text) for text in measured.unfit]
    if binding.remark:
        remarks.append(Remark("restricted" if binding.one else "contract", binding.remark))
    right = all(c.standing == "ok" for c in gradients) and all(
        o.standing in ("ok", "not offered") for o in outputs
    )
    looks = Looks(scaled_case)
    draws, values, later = looks.shown(of_draws) if right else Shown(), Shown(), Shown()
    remarks += draws.remarks
    gradients = tuple(zero_by_draw(case, gradient) for gradient in gradients)
    right = right and not draws.wrong and all(c.standing == "ok" for c in gradients)
    right = right and bool(gradients) and measured.trouble is None
    if right:
        values = looks.shown(partial(under_stress, guarded=guarded, may_ask=looks.may_ask))
        values = looks.further(values.and_also(looks.shown(at_kinks)), (at_zeros, at_ends))
        remarks += [*values.remarks, *(without_offsets(scaled_case) if looks.may_ask() else ())]
    if right and not values.wrong:
        later = looks.further(later, (second_batch, in_memory_order))
    behaviour = _conduct(looks)
    shown = draws.and_also(values).and_also(later)
    outputs = [_with(scaled_case, output, "output", shown) for output in outputs]
    gradients = tuple(_with(scaled_case, one, "gradient", shown) for one in gradients)
    spared = (*measured.left_out, *([_GONE] if looks.passed_over else ()))
    not_looked_at = (*spared, *measured.no_numbers)
    nothing = all(c.error is None and c.standing != "wrong" for c in gradients)
    verdict: Literal["pass", "fail", "error"] = "fail"
    if right and not shown.wrong:
        verdict = "pass"
    elif nothing and measured.trouble:
        verdict = "error"
    return Verdict(
        verdict,
        file,
        case.reference.spec.name,
        binding.called(case.session.whole),
        binding.convention,
        binding.texts,
        tuple(outputs),
        gradients,
        tuple(dict.fromkeys(remarks)),
        tuple(dict.fromkeys((*behaviour, *later.remarks))),
        (*case.session.notes, *(f"not looked at: {text}" for text in not_looked_at)),
        measured.trouble,
        len(measured.points) + shown.probes,
        case.seed,
        version,
        spared,
    )


def _compared(
    case: Case,
    role: Role,
    name: str,
    dims: Sequence[Dim],
    assigned: bool,
    remarks: list[Remark],
    guarded: set[str],
    outputs_guarded: frozenset[str] = frozenset(),
) -> Compared:
    """All probes of one output or gradient together; its remarks, and its name if it is guarded."""
    shape, points = shape_text(dims), case.measured.points
    there = [(p, o) for p in points if (o := outcome_of(p, role, name)) is not None]
    if not there:
        trouble = case.measured.trouble is not None
        standing: Standing = "not computed" if trouble and assigned else "not offered"
        return Compared(name, shape, standing)
    error = max((o.error for _, o in there if o.error is not None), default=None)
    worst = _closest([o.worst for _, o in there if o.worst is not None])
    wrong = [(p, o) for p, o in there if not o.right]
    if wrong:
        # Right code does not wait for these.
        from gradtool.check.excused import (
            as_clipped,
            as_guarded,
            as_overflow,
            as_shortened,
            as_single,
        )

        if overflow := as_overflow(role, name, there):
            remarks.append(overflow)
            error = max((o.error for _, o in there if o.right and o.error), default=None)
            return Compared(name, shape, "ok", error, worst)
        single = as_single(case, role, name, [p for p, _ in wrong])
        guards = None if single else as_guarded(case, role, name, wrong, outputs_guarded)
        clips = None
        if not (single or guards or role == "output"):
            clips = as_clipped(case, name, wrong) or as_shortened(case, name, wrong)
        if single or clips or isinstance(guards, Remark):
            remarks += [r for r in (single, guards, clips) if isinstance(r, Remark)]
            guarded |= {name} if guards else set()
            if clips:  # an entry that is cut off may be anything
                error = max((o.error for _, o in there if o.right and o.error), default=None)
            return Compared(name, shape, "ok", error, worst)
        found = _wrong(case, role, Compared(name, shape, "wrong", error), there, wrong)
        if guards is None and role == "output":
            other = case.varied.other_constant(name, [p for p, _ in wrong])
            return replace(found, message="; ".join(filter(None, (other, found.message))))
        return replace(found, cause=guards)
    if len(there) < len(points):
        return Compared(name, shape, "not computed", error, message=_where(case))
    if all(o.bound is not None and o.bound.size and np.isinf(o.bound).all() for _, o in there):
        text = "no entry could be compared at any point"
        return Compared(name, shape, "not computed", message=text)
    return Compared(name, shape, "ok", error, worst)


def _decided(
    case: Case, outputs: list[Compared], gradients: tuple[Compared, ...]
) -> tuple[list[Compared], tuple[Compared, ...]]:
    """Nothing is right of which some was not computed: what is so far is not decided.

    An exception takes from what is computed afterwards, which shows; a worker that was lost takes
    everything, and an exception behind the last gradient what is asked for.
    """
    trouble = case.measured.trouble
    if trouble is None:
        return outputs, gradients
    lost = is_lost(trouble)
    if not lost and any(c.standing != "ok" for c in (*outputs, *gradients)):
        return outputs, gradients
    count = len(case.measured.points)
    sizes = sizes_text(case.measured.trouble_at)
    text = f"right at {count} point{'s' * (count > 1)}; no answer" + f" at {sizes}" * bool(sizes)

    def open_(compared: Compared) -> Compared:
        if compared.standing != "ok":
            return compared
        return replace(compared, standing="not computed", message=text if lost else _where(case))

    if lost or trouble.stage != "backward":
        outputs = [open_(output) for output in outputs]
    return outputs, tuple(open_(gradient) for gradient in gradients)


def _closest(entries: Sequence[Worst]) -> Worst | None:
    """Of the worst entries of all probes the one that is closest to its bound."""
    return max(entries, key=lambda w: w.error / w.bound if w.bound else 0.0, default=None)


def _with(case: Case, compared: Compared, role: Role, shown: Shown) -> Compared:
    """An output or a gradient that was right at every point, with what was shown later."""
    for one in shown.wrong:
        if (one.role, one.name) != (role, compared.name):
            continue
        at = one.point if any(other.role == "output" for other in shown.wrong) else None
        array = at.gradients[one.name].array if at and role == "gradient" else None
        if at and array is not None and fits(case, one.name, [(at, array)]):
            return replace(compared, standing="follows", message="", worst=one.worst)
        return replace(
            compared, standing="wrong", message=one.text, worst=one.worst, cause=one.cause
        )
    return compared


def _unproved(case: Case) -> list[Remark]:
    """Gradients that were zero wherever they were looked at: being zero is all that was tested."""
    points = case.measured.points
    found = []
    for variable in offered(case.reference, case.binding):
        name = variable.name
        there = [p for p in points if name in p.gradients]
        if there and all(is_zero(p.expected, name) for p in there):
            text = (
                f"d{name} is zero at all {len(there)} points: that it is zero is all that is known"
            )
            found.append(Remark("zero", text))
    return found


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
    if all(o.kind == "error" and p.run.trouble is not None for p, o in wrong):
        # What was to be read afterwards is not there because an exception came first.
        return Compared(base.name, base.shape, "not computed", base.error, message=_where(case))
    messages = [outcome.message] if outcome.message else []
    if role == "gradient" and not messages and (factor := factor_of(case, base.name)):
        messages.append(f"it is {factor} times the right one in every entry")
    if len(wrong) < len(there):
        good = len(there) - len(wrong)
        where = f"{sizes_text(first.probe.sizes)} ({first.probe.varies})"
        only = rule([p.probe.env for p, o in there if o.right], [p.probe.env for p, _ in wrong])
        which = f"where {only} only" if only else f"at {good} of {len(there)} sizes"
        messages.append(f"right {which}, wrong at {where}")
        fitting = [o for p, o in there if not p.probe.setting.uneven]
        if fitting and all(o.right for o in fitting):
            messages[-1] = f"right where the windows fit the input, wrong where not: {where}"
    text = "; ".join(messages)
    return Compared(base.name, base.shape, "wrong", base.error, outcome.worst, text)


def _without_guard(
    case: Case, outputs: Sequence[Compared], gradients: Sequence[Compared]
) -> tuple[list[Compared], list[Remark]]:
    """The outputs, those right that differ by a small guard in a logarithm only."""
    found = guard_of(case, outputs)
    if found is None:
        return list(outputs), []
    text, guard = found
    wrong = {o.name for o in outputs if o.standing == "wrong"}
    if guard > SMALL or any(c.standing != "ok" for c in gradients):
        said = f"your forward has log({text}) where the spec has log(x)"
        return [replace(o, message=said) if o.name in wrong else o for o in outputs], []
    names = ", ".join(sorted(wrong))
    said = f"{names} has log({text}) where the spec has log(x); the gradient is right without it"
    fixed = [
        replace(o, standing="ok", message="", worst=None) if o.name in wrong else o for o in outputs
    ]
    return fixed, [Remark("guard", said)]


def _where(case: Case) -> str:
    return f"fails at {sizes_text(case.measured.trouble_at)}"


def _remarks(points: Sequence[Point]) -> Iterable[Remark]:
    """What the comparisons remarked, once for each array."""
    outcomes = [o for p in points for _, _, o in everything_of(p)]
    # A shape that differs harmlessly at a size of one is no remark where it is wrong elsewhere.
    wrong = {o.message.split(" ")[0] for o in outcomes if o.array is None}
    remarks = [r for o in outcomes for r in o.remarks]
    # A message begins with the array's name; sizes further on differ between the probes.
    found: dict[tuple[str, str], Remark] = {}
    for remark in remarks:
        if (name := remark.message.split(" ")[0]) not in wrong:
            found.setdefault((remark.code, name), remark)
    return found.values()


def _unfinished(case: Case) -> list[Remark]:
    names = [variable.name for variable in offered(case.reference, case.binding)]
    runs = [p.run.gradients for p in case.measured.points]
    # What gave every gradient somewhere is written, whatever it refuses or forgets elsewhere.
    written = any(all(n in run and run[n].array is not None for n in names) for run in runs)
    if not written and (found := unfinished(case.measured.trouble)):
        return list(found)
    values = [value for p in case.measured.points for value in p.run.gradients.values()]
    if values and all(value.kind == "none" for value in values):
        return [Remark("unfinished", "every gradient is None: nothing is computed yet")]
    return []


def _conduct(looks: Looks) -> list[Remark]:
    case = looks.case
    points = case.measured.points
    # Gradients that are read from an update are those of parameters that change.
    found = conduct.of_runs((p.run for p in points), case.binding.grads)
    first = point_of(points)
    asked = len(points) > 1 and case.measured.trouble is None
    if asked and first is not None and looks.may_ask():
        # Of the same sizes: code may keep one thing for each.
        other = probe_of(case.reference, case.binding, first.probe, case.seed)
        draws = any(v.read for v in case.reference.spec.variables)
        found += conduct.of_repetition(
            case.session, first.probe, other, first.run, case.seed, draws
        )
    return found
