"""A backward pass against differences of its own forward, where there is no spec.

What can be known is less than with a spec: whether the forward is what it should be is not
asked, and entries at a kink are not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from gradtool.check import conduct
from gradtool.check.arguments import Names, NoMatch
from gradtool.check.bind import Binding, BindingProblem, not_found
from gradtool.check.candidate import Candidate, of_one
from gradtool.check.compare import Outcome
from gradtool.check.conventions import readings
from gradtool.check.inventory import Function, Inventory
from gradtool.check.judge import failed
from gradtool.check.process import Asked
from gradtool.check.recognise import candidates, whole_class
from gradtool.check.reference import Reference
from gradtool.check.result import Compared, Remark, Trouble, Verdict
from gradtool.check.scale import factor_name, ratio
from gradtool.check.session import CheckTrouble, Session, trouble_in
from gradtool.check.unaided_looks import Further, further
from gradtool.check.unaided_points import Point, Unaided, drawn, measured, ran
from gradtool.ir.dims import shape_text
from gradtool.numeric.plain import PlainForward
from gradtool.records import Struct, replace

_POINTS = 4  # small ones: every entry is differenced
_UNDECIDED = 0.5  # more entries than this without a slope: nothing was compared


class Functions(Struct, frozen=True):
    """The functions by name, ``Class.method`` where they are methods; no backward where the
    forward returns the gradients."""

    forward: str
    backward: str | None


def check_unaided(
    declared: PlainForward,
    file: Path,
    functions: Functions,
    *,
    seed: int,
    version: str,
    seconds: float,
    worker: Asked,
) -> Verdict:
    """The verdict by differences; `declared` gives names, shapes and samples, no forward."""
    name = str(file)
    with Session(file, seconds=seconds, worker=worker) as session:
        try:
            session.load()
            candidate = _candidate(session.inventory, functions, file.name)
            names = replace(Names.of(declared), outputs=(_output_name(declared),))
            ways = readings(candidate, names)
            return _best(session, declared, ways, names.outputs[0], name, seed, version)
        except (CheckTrouble, BindingProblem, NoMatch) as problem:
            trouble = trouble_in(problem)
            return failed(name, "", trouble, seed=seed, version=version, notes=session.notes)


def _output_name(declared: Reference) -> str:
    taken = {v.name for v in declared.spec.variables} | set(declared.constants)
    return next(n for n in ("out", "result", "output_of_forward") if n not in taken)


def _candidate(found: Inventory, functions: Functions, file: str) -> Candidate:
    """The candidate of two names.

    Raises:
        BindingProblem: the file does not define them.
    """
    owner_name, _, method = functions.forward.rpartition(".")
    if owner_name:
        owner = next((c for c in found.classes if c.name == owner_name), None)
        if owner is None:
            raise BindingProblem(not_found([owner_name], file, found))
        owner = whole_class(owner, found)
        back = (functions.backward or "").rpartition(".")[2]
        methods = [owner.method(n) for n in (method, back) if n]
        if None in methods:
            listed = ", ".join(m.name for m in owner.methods)
            raise BindingProblem(f"{file}: {owner_name} has no {method or back}; it has {listed}")
        forward, *others = [method for method in methods if method is not None]
        return Candidate(forward, others[0], owner) if others else of_one(forward, owner)
    if any(c.name == functions.forward for c in found.classes) and functions.backward is None:
        for candidate in candidates(found):
            if candidate.owner and candidate.owner.name == functions.forward:
                return candidate
    known: dict[str, Function] = {f.name: f for f in found.functions}
    wanted = [n for n in (functions.forward, functions.backward) if n]
    missing = [n for n in wanted if n not in known]
    if missing:
        raise BindingProblem(not_found(missing, file, found))
    if functions.backward is None:
        return of_one(known[functions.forward])
    return Candidate(known[functions.forward], known[functions.backward])


def _best(
    session: Session,
    declared: PlainForward,
    ways: Sequence[Binding],
    output: str,
    file: str,
    seed: int,
    version: str,
) -> Verdict:
    """The first way that is right, otherwise the first that could be compared."""
    found: list[Verdict] = []
    for way in ways:
        verdict = _judged(session, declared, way, output, file, seed, version)
        if verdict.verdict == "pass":
            return verdict
        found.append(verdict)
    return max(found, key=lambda v: v.verdict == "fail")


def _judged(
    session: Session,
    declared: PlainForward,
    way: Binding,
    output: str,
    file: str,
    seed: int,
    version: str,
) -> Verdict:
    wanted = [
        v
        for v in declared.spec.variables
        if v.differentiable and (way.gradients is None or v.name in way.gradients)
    ]
    settings = declared.every_setting()
    asked = Unaided(session, declared, way, output, seed)
    points: list[Point] = []
    trouble: Trouble | None = None
    try:
        session.bind(way, (output,), [v.name for v in wanted], ())
        for number, setting in enumerate(settings[:_POINTS]):
            rng = np.random.default_rng([seed, number])
            probe = drawn(asked, setting, number, rng)
            point = measured(asked, probe, ran(asked, probe), rng)
            points.append(point)
            trouble = trouble or point.run.trouble
    except CheckTrouble as problem:
        trouble = trouble or problem.trouble
    rows = tuple(_compared(declared, v.name, points) for v in wanted)
    if not points or (trouble and all(row.standing == "not offered" for row in rows)):
        assert trouble is not None
        return replace(
            failed(file, "", trouble, seed=seed, version=version, notes=session.notes, binding=way),
            called=way.called(session.inventory),
        )
    undecided = [n for n in (v.name for v in wanted) if _undecided(n, points)]
    if undecided:
        text = (
            f"differences of the forward do not settle for {', '.join(undecided)}: "
            "it has a kink at most entries, is random, or computes in float32; write a spec"
        )
        trouble = trouble or Trouble("forward", text)
    right = all(row.standing == "ok" for row in rows) and trouble is None
    behaviour = _conduct(session, points, trouble, seed)
    seen = further(asked, points, settings[_POINTS:]) if right else Further()
    rows = tuple(seen.rows.get(row.name, row) for row in rows)
    trouble = trouble or seen.trouble
    right = right and not seen.rows and trouble is None
    wrong = any(row.standing == "wrong" for row in rows)
    return Verdict(
        "pass" if right else "fail" if wrong or not trouble else "error",
        file,
        "",
        way.called(session.inventory),
        way.convention + "; compared with differences of the forward",
        way.texts,
        (),
        rows,
        tuple(dict.fromkeys((*_remarks(points, [v.name for v in wanted]), *seen.remarks))),
        tuple(dict.fromkeys(behaviour)),
        (*session.notes, *(f"not looked at: {text}" for text in seen.left_out)),
        trouble,
        len(points) + seen.points,
        seed,
        version,
    )


def _compared(declared: Reference, name: str, points: Sequence[Point]) -> Compared:
    """All points of one gradient together."""
    variable = next(v for v in declared.spec.variables if v.name == name)
    shape = shape_text(variable.shape)
    there = [(p, p.outcomes[name]) for p in points if name in p.outcomes]
    if not there:
        return Compared(name, shape, "not offered")
    error = max((o.error for _, o in there if o.error is not None), default=None)
    wrong = [(p, o) for p, o in there if not o.right]
    if not wrong:
        standing = "ok" if len(there) == len(points) else "not computed"
        return Compared(name, shape, standing, error)  # type: ignore[arg-type]  # one of them
    messages = [o.message for _, o in wrong[:1] if o.message]
    if not messages and (factor := _factor(name, wrong)):
        messages.append(f"it is {factor} times the right one in every entry")
    return Compared(name, shape, "wrong", error, wrong[0][1].worst, "; ".join(messages))


def _factor(name: str, wrong: Sequence[tuple[Point, Outcome]]) -> str | None:
    seen: list[tuple[float, Mapping[str, int]]] = []
    for point, outcome in wrong:
        known = point.right[name]
        if outcome.array is None or outcome.array.shape != known.value.shape:
            return None
        factor = ratio(outcome.array, known.value, known.bound)
        if factor is None or not np.all(known.settled):
            return None
        # Differences are not exact: a number that is nearly round is meant to be round.
        seen.append((float(f"{factor:.6g}"), point.probe.env))
    return factor_name(seen) if seen else None


def _undecided(name: str, points: Sequence[Point]) -> bool:
    settled = [p.right[name].settled for p in points if name in p.right]
    entries = sum(s.size for s in settled)
    return bool(entries) and sum(int(np.sum(~s)) for s in settled) > _UNDECIDED * entries


def _remarks(points: Sequence[Point], wanted_names: Sequence[str]) -> Iterable[Remark]:
    for name in wanted_names:
        lost = sum(int(np.sum(~p.right[name].settled)) for p in points if name in p.right)
        entries = sum(p.right[name].settled.size for p in points if name in p.right)
        if lost:
            verb = "was" if lost == 1 else "were"
            text = (
                f"{lost} of {entries} entries of d{name} {verb} not compared: the differences do "
                "not settle there, as at a kink"
            )
            yield Remark("kink", text)
    # A message begins with the array's name; sizes further on differ between the points.
    told: dict[tuple[str, str], Remark] = {}
    for remark in (r for p in points for o in p.outcomes.values() for r in o.remarks):
        told.setdefault((remark.code, remark.message.split(" ")[0]), remark)
    yield from told.values()
    exact = all(p.right[n].exact for p in points for n in p.right)
    how = (
        "a step into the complex plane"
        if exact
        else "centered differences of the forward, extrapolated"
    )
    yield Remark("unaided", f"without a spec: {how}; whether the forward is right is not known")


def _conduct(
    session: Session, points: Sequence[Point], trouble: Trouble | None, seed: int
) -> list[Remark]:
    found = conduct.of_runs(p.run for p in points)
    if len(points) > 1 and trouble is None:
        first, other = points[:2]
        found += conduct.of_repetition(session, first.probe, other.probe, first.run, seed)
    return found
