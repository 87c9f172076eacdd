"""One line of a step of a loop is slightly different, or what becomes of the steps is.

The backward pass of a loop is a loop over one step.  Every small edit of a line of that step is
played through all steps; so are the mistakes of the loop itself: = for += of what it adds up, a
step that is left out, the gradient of the step after that does not arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from gradtool.check.causes.lines import surroundings
from gradtool.check.causes.terms import numbers_at
from gradtool.check.diagnose_edits import edits
from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_factors import named
from gradtool.check.diagnose_hypothesis import Hypothesis
from gradtool.check.diagnose_program import Array, Grain, written
from gradtool.emit.text import text
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Loop, Scan, Statement, operands
from gradtool.ir.tree import Name, Tree, replace_names
from gradtool.numeric.grid import Setting, run

_MOST = 2500
_FIT = 1e-9


@dataclass(frozen=True, slots=True)
class _Turned:
    """The loop that a gradient comes out of, one of its steps, and where its gradients begin."""

    grain: Grain
    scans: tuple[Scan, ...]
    loop: Loop
    step: Grain


@dataclass(frozen=True, slots=True)
class _Possible:
    """Other scans in place of those of the loop, with words and a price, whatever the file."""

    code: str
    cost: float
    what: str
    scans: tuple[Scan, ...]
    shown: str
    key: str


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.tier or evidence.derived is None or not evidence.shape_fits:
        return
    turned = _turned(evidence)
    if turned is None:
        return
    yield from _factor(evidence)
    possible: list[_Possible] = evidence.derived.remembered(
        "loops", evidence.name, lambda: list(_possible(evidence, turned))
    )
    for number, one in enumerate(possible):
        predict = evidence.kept("loops", number, _player(evidence, turned, one.scans))
        proof = f"your {evidence.label} is what comes out with {one.shown}" if one.shown else ""
        yield Hypothesis(one.code, one.cost, one.what, predict, lambda p=proof: p, one.key)  # type: ignore[misc]


def _turned(evidence: Evidence) -> _Turned | None:
    for grain in evidence.grains:
        tensor = grain.gradients[evidence.name]
        scans = [
            s
            for place in grain.leads_to(tensor)
            if place >= grain.first and isinstance(s := grain.statements[place], Scan)
        ]
        if scans:
            loop = scans[-1].loop  # what was taken last: the nearest to the gradient
            same = tuple(s for s in grain.statements if isinstance(s, Scan) and s.loop is loop)
            return _Turned(grain, same, loop, _step(grain, loop))
    return None


def _step(grain: Grain, loop: Loop) -> Grain:
    """One step as a program of its own; hidden values are shown as what they are."""
    statements = loop.body.statements
    before = {
        s.out.name
        for scan in grain.statements[: grain.first]
        if isinstance(scan, Scan)
        for s in scan.loop.body.statements
    }
    first = next((k for k, s in enumerate(statements) if s.out.name not in before), 0)
    shown: dict[str, Tree] = {}
    for statement in statements[:first]:
        if statement.hidden:
            shown[statement.out.name] = replace_names(statement.tree, shown)
    for statement in statements[first:]:
        of = statement.out.name.removeprefix("d")
        if statement.hidden and of in shown:
            shown[statement.out.name] = Name(f"d({text(shown[of])})")
    return Grain("step", tuple(statements), first, {}, shown)


def _possible(evidence: Evidence, turned: _Turned) -> Iterator[_Possible]:
    yield from _of_the_loop(evidence, turned)
    step, count = turned.step, 0
    around = surroundings(step)
    arriving = {part.name for part in turned.loop.sliced if part.source.name[:1] == "d"}
    handed = {c.name for c in turned.loop.carried}
    around = replace(
        around,
        upstream=frozenset(arriving),
        cotangents=around.cotangents | arriving | handed,
    )
    for place in sorted(_leading(evidence, turned), reverse=True):
        statement = step.statements[place]
        if not isinstance(statement, Statement) or statement.reduce != "sum":
            continue
        name = statement.out.name
        where = f", in {text(step.shown[name]) if name in step.shown else name} of every step"
        for edit in edits(statement, around):
            count += 1
            if count > _MOST:
                return
            body = replace(statement, body=edit.body)
            lines = (*step.statements[:place], body, *step.statements[place + 1 :])
            shown = written(step, edit.body, statement.free)
            what = edit.what
            lost = handed & _read(statement) - _read(body)
            if edit.code == "missing-path" and lost:
                what = "the gradient that comes from the step after is missing"
            yield _Possible(
                edit.code,
                edit.cost + 0.05,
                what + where,
                _with_lines(turned, lines),
                f"{text(Name(name))} = {shown}" if shown else "",
                f"step {name}: {edit.code} {edit.body.key}",
            )


def _read(statement: Statement) -> frozenset[str]:
    return operands(statement)


def _leading(evidence: Evidence, turned: _Turned) -> set[int]:
    """The lines of a step that take part in the gradient, by the steps before as well."""
    tensor = turned.grain.gradients[evidence.name]
    used = {turned.grain.statements[p].out.name for p in turned.grain.leads_to(tensor)}
    wanted = {s.source for s in turned.scans if s.out.name in used}
    results = {c.name: c.result for c in turned.loop.carried}
    found: set[int] = set()
    size = -1
    while size < len(found):
        size = len(found)
        for place, statement in enumerate(turned.step.statements):
            if statement.out.name in wanted and place >= turned.step.first:
                found.add(place)
                read = operands(statement)
                wanted |= read | {results[n] for n in read if n in results}
    return found


def _with_lines(turned: _Turned, lines: tuple[object, ...]) -> tuple[Scan, ...]:
    body = replace(turned.loop.body, statements=lines)  # type: ignore[arg-type]
    loop = replace(turned.loop, body=body)
    return tuple(replace(scan, loop=loop) for scan in turned.scans)


def _of_the_loop(evidence: Evidence, turned: _Turned) -> Iterator[_Possible]:
    tensor = turned.grain.gradients[evidence.name]
    loop, label = turned.loop, evidence.label

    def own(change: Callable[[Scan], Scan]) -> tuple[Scan, ...]:
        return tuple(change(s) if s.out.name == tensor else s for s in turned.scans)

    def other(changed: Loop) -> tuple[Scan, ...]:
        return tuple(replace(scan, loop=changed) for scan in turned.scans)

    if any(s.out.name == tensor and s.what == "sum" for s in turned.scans):
        last = own(lambda scan: replace(scan, what="last"))
        text = "every step overwrites what the one before has left: = in place of +="
        yield _Possible("overwritten", 0.9, text, last, "", f"last {label}")
    turning = replace(loop, backwards=not loop.backwards)
    text = "the loop runs over the steps in the order of the forward pass"
    yield _Possible("step-order", 1.0, text, other(turning), "", "order of the steps")
    shorter = loop.size - 1
    for first, word in ((loop.first, "last"), (loop.first + 1, "first")):
        fewer = replace(loop, first=first, size=shorter)
        text = f"the loop leaves out the {word} step"
        yield _Possible("skipped", 1.1, text, other(fewer), "", f"without the {word} step")


def _player(
    evidence: Evidence, turned: _Turned, scans: tuple[Scan, ...]
) -> Callable[[Seen], Array | None]:
    tensor = turned.grain.gradients[evidence.name]

    def predict(seen: Seen) -> Array | None:
        bench = evidence.bench(turned.grain, seen.number)
        known, setting = bench.known, bench.setting
        try:
            if setting.size(scans[0].loop.size) < 1:
                values = {s.out.name: _untouched(s, known, setting) for s in scans}
            else:
                values = run(scans, known, setting)
        except (ValueError, IndexError, ZeroDivisionError, KeyError, UnsupportedError):
            return None  # not defined at these sizes
        outs = {scan.out.name: np.asarray(values[scan.out.name]) for scan in scans}
        if tensor in outs:
            return np.asarray(outs[tensor], dtype=float) * bench.factor
        return bench.changed(tensor, values=outs, after=turned.grain.first)

    return predict


def _untouched(scan: Scan, known: Mapping[str, Array], setting: Setting) -> Array:
    """What is left of a loop without steps."""
    initial = scan.initial
    if scan.what == "last":
        initial = next(
            (c.initial for c in scan.loop.carried if scan.source in (c.result, c.name)), None
        )
    if initial is not None:
        return known[initial.name]
    return np.zeros(tuple(setting.size(dim) for dim in scan.out.shape))


def _factor(evidence: Evidence) -> Iterator[Hypothesis]:
    """The whole gradient is off by a constant."""
    ratios, at = [], []
    for seen in evidence.telling:
        power = float(np.vdot(seen.right, seen.right))
        if not power or (seen.is_right and seen.right.size < 2):
            continue
        ratio = float(np.vdot(seen.right, seen.got)) / power
        off = np.max(np.abs(seen.got - ratio * seen.right), initial=0.0)
        if off > _FIT * np.max(np.abs(seen.got), initial=0.0):
            return
        ratios.append(ratio)
        at.append(numbers_at(seen))
    factor = named(ratios, at)
    if factor is None or factor.text in ("0", "1"):
        return
    code, what = ("sign", "its sign is wrong") if factor.text == "-1" else (
        "scale", f"it is {factor.text} times what is right")  # fmt: skip
    yield Hypothesis(
        code, 0.95 if code == "sign" else 1.0, what,
        lambda seen: factor.value(numbers_at(seen)) * seen.right,
        lambda: f"your {evidence.label} equals {factor.text} times the right one",
    )  # fmt: skip
