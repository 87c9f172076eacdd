"""The judge: asks the worker, compares, and decides.

The order of questions is that of DESIGN: import, run, shape, dtype, finiteness, forward,
backward, conduct.  The three facts (forward against spec, backward against spec, backward
against the user's own forward) are combined so that one mistake is reported once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradtool.check.arguments import Names, NoMatch
from gradtool.check.bind import Binding
from gradtool.check.bounds import rms
from gradtool.check.by_name import by_name, every_by_name
from gradtool.check.decide import decide
from gradtool.check.either import as_told, either, is_otherwise_made
from gradtool.check.facts import Case
from gradtool.check.glance import Understood, but_for_a_factor, glance
from gradtool.check.measure import (
    Measured,
    Point,
    bind,
    everything_of,
    is_zero,
    measure,
    offered,
)
from gradtool.check.probes import Probe, growing, make_probe, probes, scaled
from gradtool.check.reference import Reading, Reference, Restricted
from gradtool.check.result import Compared, Remark, Trouble, Verdict, is_lost
from gradtool.check.retyped import may_be_of_a_type, retyped
from gradtool.check.session import CheckTrouble, Session
from gradtool.check.telling import telling
from gradtool.check.unwritten import unfinished
from gradtool.records import Struct, replace

_MORE, _FAR = 20, 500  # samples that are drawn for a gradient that was always zero; their numbers
_WIDER = 4.0
_ALIVE = 1e-9  # of the upstream gradient
_FORWARD_RIGHT = 2  # of what is understood


class Judgement(Struct, frozen=True):
    """A verdict, and the measurements that a diagnosis of the cause starts from."""

    verdict: Verdict
    points: tuple[Point, ...]
    binding: Binding | None


def judge(
    reference: Reference,
    session: Session,
    bindings: Sequence[Binding],
    *,
    file: str,
    seed: int,
    version: str,
) -> Judgement:
    """The verdict on a loaded file.

    `bindings` are the ways in which the file may be meant, best first.  The first that is right
    counts; otherwise the one whose forward is right, since that shows how it is meant; then one
    that could be compared.  Of several, that with the most gradients that are right.  Ways after
    the first are looked at in full only where two points do not show that they are wrong.
    """
    first, *others = bindings
    tried = [_judge_one(reference, session, first, file, seed, version)]
    if tried[0].verdict.verdict != "pass" and _has_returned(tried[0]):
        others = every_by_name(others, session.told, Names.of(reference))
    doubtful: list[tuple[Understood, Binding]] = []
    for binding in others:
        if binding.last_resort and _has_right_forward(tried, doubtful):
            break
        if tried[-1].verdict.verdict == "pass" or is_lost(tried[-1].verdict.trouble):
            break
        if binding.equal and any(map(_takes_any_size, tried)):
            continue  # its backward pass owes what its forward pass has taken
        seen = glance(as_read(reference, binding), session, binding, seed)
        if seen.near or seen.lost:  # who lost the worker, and how, is told
            tried.append(_judge_one(reference, session, binding, file, seed, version))
        else:
            doubtful.append((seen.understood, binding))
    best = max(tried, key=_understood)
    better = [one for one in doubtful if one[0] > _understood(best)]
    if best.verdict.verdict != "pass" and better and not is_lost(tried[-1].verdict.trouble):
        _, binding = max(better, key=lambda one: one[0])
        tried.append(_judge_one(reference, session, binding, file, seed, version))
    best = max(tried, key=_understood)
    if _raises_everywhere(best):
        typed = _in_other_types(reference, session, best, file, seed, version)
        best = max(typed, key=_understood, default=best)
    best = _with_order_told(best, others)
    return _in_layout(best, tried)


def _has_returned(judgement: Judgement) -> bool:
    """Whether a backward pass gave results, which tell what they are called, if anything."""
    trouble = judgement.verdict.trouble
    return trouble is None or trouble.stage == "binding" or bool(judgement.points)


def _raises_everywhere(judgement: Judgement) -> bool:
    """Whether code raises at every point what the type of an array may cause."""
    trouble = judgement.verdict.trouble
    raised = all(point.run.trouble is not None for point in judgement.points)
    return raised and trouble is not None and may_be_of_a_type(trouble.message)


def _in_other_types(
    reference: Reference,
    session: Session,
    raising: Judgement,
    file: str,
    seed: int,
    version: str,
) -> list[Judgement]:
    """Judgements with masks and labels in types that give the layer's outputs, until one is
    right.
    """
    found: list[Judgement] = []
    binding, trouble = raising.binding, raising.verdict.trouble
    if binding is None or trouble is None:
        return found
    for other in retyped(binding, reference.spec.variables, trouble.message):
        judged = _judge_one(reference, session, other, file, seed, version)
        if is_lost(judged.verdict.trouble):
            return [judged]
        if _understood(judged)[0] >= _FORWARD_RIGHT and not _raises_everywhere(judged):
            found.append(judged)
        if judged.verdict.verdict == "pass":
            break
    return found


def _has_right_forward(
    tried: Iterable[Judgement], doubtful: Iterable[tuple[Understood, Binding]]
) -> bool:
    known = (*(_understood(one) for one in tried), *(found for found, _ in doubtful))
    return any(sure >= _FORWARD_RIGHT for sure, *_ in known)


def _with_order_told(judgement: Judgement, others: Sequence[Binding]) -> Judgement:
    """With a remark where arguments without known names fit in none of the orders tried."""
    binding, verdict = judgement.binding, judgement.verdict
    guess = binding.guess if binding is not None else None
    if guess is None or verdict.verdict == "pass" or _understood(judgement)[0] >= _FORWARD_RIGHT:
        return judgement
    if not any(other.last_resort and other.guess is not None for other in others):
        return judgement
    text = (
        f"{guess.unknown}; in none of the orders that were tried does the forward give the "
        "layer's numbers"
    )
    told = replace(verdict, remarks=(*verdict.remarks, Remark("contract", text)))
    return replace(judgement, verdict=told)


def _takes_any_size(judgement: Judgement) -> bool:
    """Whether a forward pass is right where the sizes are not bound to be equal."""
    verdict, binding = judgement.verdict, judgement.binding
    right = bool(verdict.forward) and all(c.standing == "ok" for c in verdict.forward)
    return right and binding is not None and not binding.equal and not binding.one


def _in_layout(best: Judgement, tried: Sequence[Judgement]) -> Judgement:
    """What is right with its arrays in another layout only, and runs in that of the spec as well:
    whether that is meant or an axis was mistaken for another is not known.
    """
    binding = best.binding
    if best.verdict.verdict != "pass" or binding is None or not binding.layout:
        return best
    if not any(_gives_other_numbers(other) for other in tried):
        return best
    text = (
        f"with its arrays as the spec has them, the forward pass gives other numbers; with "
        f"{binding.layout}, everything is right. Either one axis was mistaken for another, or that "
        "is the layout that is meant: then write the spec in it"
    )
    return replace(best, binding=replace(binding, undecided=text))


def _gives_other_numbers(judgement: Judgement) -> bool:
    """Whether a forward pass ran in the spec's layout at every size, and gave other numbers."""
    binding, verdict = judgement.binding, judgement.verdict
    if binding is None or binding.layout or verdict.trouble is not None or not judgement.points:
        return False
    outputs = [outcome for point in judgement.points for outcome in point.outputs.values()]
    shaped = all(outcome.array is not None and not outcome.message for outcome in outputs)
    return shaped and any(c.standing == "wrong" for c in verdict.forward)


def as_read(reference: Reference, binding: Binding) -> Reference:
    """The layer as a binding reads it."""
    if binding.one or binding.equal:
        return Restricted(reference, binding.reads, binding.one, binding.equal)
    return Reading(reference, binding.reads) if binding.reads else reference


def _understood(judgement: Judgement) -> Understood:
    """How sure it is that a binding reads the file as it is meant."""
    verdict = judgement.verdict
    if verdict.verdict == "pass":
        return 3, 0, 0
    lost = is_lost(verdict.trouble)

    def fits(row: Compared) -> bool:
        return row.was_right if lost else row.standing == "ok"

    right, alike = sum(map(fits, verdict.gradients)), but_for_a_factor(judgement.points)
    if verdict.forward and all(map(fits, verdict.forward)):
        return _FORWARD_RIGHT, right, alike
    return int(verdict.verdict == "fail"), right, alike


def failed(
    file: str,
    layer: str,
    trouble: Trouble,
    *,
    seed: int,
    version: str,
    notes: Iterable[str] = (),
    binding: Binding | None = None,
) -> Verdict:
    """The verdict where there is nothing to compare."""
    return Verdict(
        "error",
        file,
        layer,
        (),
        binding.convention if binding else "",
        binding.texts if binding else (),
        (),
        (),
        unfinished(trouble),
        (),
        tuple(notes),
        trouble,
        0,
        seed,
        version,
    )


def _judge_one(
    reference: Reference, session: Session, binding: Binding, file: str, seed: int, version: str
) -> Judgement:
    layer, about = reference.spec.name, (reference, binding, seed, version)
    unread = reference
    reference = as_read(reference, binding)

    def none(trouble: Trouble) -> Verdict:
        notes = session.notes
        return failed(
            file, layer, trouble, seed=seed, version=version, notes=notes, binding=binding
        )

    try:
        bind(session, reference, binding)
    except CheckTrouble as problem:
        return Judgement(none(problem.trouble), (), binding)
    known = session.recalled(about)
    if isinstance(known, Judgement):  # what follows depends on the answers, and on nothing else
        called, notes = binding.called(session.whole), tuple(session.notes)
        return replace(known, verdict=replace(known.verdict, file=file, called=called, notes=notes))
    found, spared = _judged(reference, session, binding, file, seed, version, sparing=True)
    try:
        named = by_name(binding, session.told, Names.of(reference))
    except NoMatch as reason:
        if found.verdict.trouble is None:
            trouble = Trouble(
                "binding", f"{reason} Say how it is called in the spec's check: block"
            )
            found = Judgement(none(trouble), (), binding)
        return found
    if named is not binding:
        judged = _judge_one(unread, session, named, file, seed, version)
        if is_otherwise_made(judged.verdict) and (both := either(binding, named)) is not None:
            judged = _judge_one(unread, session, both, file, seed, version)
        return replace(judged, verdict=as_told(judged.verdict))
    if any(isinstance(parts, dict) for parts in session.told.values()):
        found = replace(found, verdict=as_told(found.verdict))
    if spared and any(gradient.standing == "ok" for gradient in found.verdict.gradients):
        # Rounding, float32, a guard: what was wrong in all at first is right, if it is everywhere.
        found, _ = _judged(reference, session, binding, file, seed, version, sparing=False)
    if found.verdict.verdict == "pass" and not found.verdict.notes:
        session.keep(about, found)
    return found


def _judged(
    reference: Reference,
    session: Session,
    binding: Binding,
    file: str,
    seed: int,
    version: str,
    *,
    sparing: bool,
) -> tuple[Judgement, bool]:
    """The judgement on a binding that the worker has, and whether slow code was spared points."""
    layer, drawn = reference.spec.name, list[Probe]()

    def kept() -> Iterable[Probe]:
        for first in probes(reference, binding, seed):
            for probe in telling(reference, binding, first, seed):
                drawn.append(probe)
                yield probe

    measured = measure(session, reference, binding, kept(), seed, sparing=sparing)
    spared = measured.spared
    measured = _livened(measured, session, reference, binding, seed)
    if drawn and not measured.points and measured.trouble is None:
        text = "the numbers of the spec itself are not finite at any size: nothing can be compared"
        trouble = Trouble("reference", text)
        measured = replace(measured, trouble=trouble, trouble_at=drawn[0].sizes)
    compared_any = any(
        outcome.array is not None or outcome.message
        for point in measured.points
        for _, _, outcome in everything_of(point)
    )
    if measured.trouble is not None and not compared_any:
        verdict = failed(
            file,
            layer,
            measured.trouble,
            seed=seed,
            version=version,
            notes=session.notes,
            binding=binding,
        )
        verdict = replace(verdict, called=binding.called(session.whole))
        return Judgement(verdict, (), binding), spared
    case = Case(reference, session, binding, measured, tuple(drawn), seed)
    return Judgement(decide(case, file, version), measured.points, binding), spared


def _livened(
    measured: Measured, session: Session, reference: Reference, binding: Binding, seed: int
) -> Measured:
    """With points at which every gradient that was zero everywhere is not, where there are any."""
    points = measured.points
    if measured.trouble is not None or not points:
        return measured
    for variable in offered(reference, binding):
        name = variable.name
        if not all(is_zero(p.expected, name) for p in measured.points if name in p.gradients):
            continue
        for probe in _others(reference, binding, points[0].probe, seed):
            values = {**points[0].values, **probe.values}
            _, gradients = reference.evaluate(values, probe.upstream, probe.given)
            if rms(gradients[name]) > _ALIVE * max(map(rms, probe.upstream.values())):
                more = measure(session, reference, binding, [probe], seed)
                if more.trouble is None:
                    measured = replace(measured, points=(*measured.points, *more.points))
                break
    return measured


def _others(reference: Reference, binding: Binding, first: Probe, seed: int) -> Iterable[Probe]:
    """More samples at the first sizes, as they are drawn and larger."""
    for number in range(_MORE):
        probe = make_probe(reference, binding, first.setting, _FAR + number, seed)
        probe = replace(probe, varies="another sample")
        yield probe
        names = [v.name for v in growing(reference, probe)]
        yield scaled(probe, dict.fromkeys(names, _WIDER), probe.varies)
