"""One line of a step of a loop is slightly different, or what becomes of the steps is.

The backward pass of a loop is a loop over one step.  Every small edit of a line of that step is
played through all steps; so are the mistakes of the loop itself: = for += of what it adds up, a
step that is left out, the gradient of the step after that does not arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from gradtool.check.causes.lines import surroundings
from gradtool.check.causes.terms import numbers_at
from gradtool.check.diagnose_edits import Edit, edits
from gradtool.check.diagnose_evidence import Evidence, Seen
from gradtool.check.diagnose_factors import named
from gradtool.check.diagnose_hypothesis import SPARED, Hypothesis
from gradtool.check.diagnose_program import Array, Grain, written
from gradtool.emit.text import text
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Loop, Scan, Statement, operands
from gradtool.ir.tree import Name, Tree, replace_names
from gradtool.numeric.grid import Setting, positions, result_of, run, steps
from gradtool.records import Struct, replace

_MOST = 2500
_DEAREST = 1.7  # a step is played through again for each
_FIT = 1e-9
_MOST_KEPT = 4000  # entries of the results of a loop


class _Turned(Struct, frozen=True):
    """The loop that a gradient comes out of, one of its steps, and where its gradients begin."""

    grain: Grain
    scans: tuple[Scan, ...]
    loop: Loop
    step: Grain


class _Edited(Struct, frozen=True):
    """A line of the step with another body, whichever gradient is asked for."""

    place: int
    statement: Statement
    edit: Edit


def propose(evidence: Evidence) -> Iterator[Hypothesis]:
    if evidence.tier or evidence.derived is None or not evidence.shape_fits:
        return
    turned = _turned(evidence)
    if turned is None:
        return
    yield from _factor(evidence)
    yield from _of_the_loop(evidence, turned)
    yield from _of_a_step(evidence, turned)


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


def _edits(turned: _Turned) -> Iterator[_Edited]:
    step, count = turned.step, 0
    around = surroundings(step)
    arriving = {part.name for part in turned.loop.sliced if part.source.name[:1] == "d"}
    handed = {c.name for c in turned.loop.carried}
    around = replace(
        around,
        upstream=frozenset(arriving),
        cotangents=around.cotangents | arriving | handed,
    )
    for place in range(len(step.statements) - 1, step.first - 1, -1):
        statement = step.statements[place]
        if not isinstance(statement, Statement) or statement.reduce != "sum":
            continue
        for edit in edits(statement, around):
            if edit.cost > _DEAREST:
                continue
            count += 1
            if count > _MOST:
                return
            yield _Edited(place, statement, edit)


def _of_a_step(evidence: Evidence, turned: _Turned) -> Iterator[Hypothesis]:
    assert evidence.derived is not None
    name_of = turned.grain.name
    every: list[_Edited] = evidence.derived.remembered(
        f"edits of steps of {name_of}", "", lambda: list(_edits(turned))
    )
    films: dict[bytes, _Film] = evidence.derived.remembered(f"films of {name_of}", "", dict)
    results: dict[tuple[int, bytes], Mapping[str, Array] | None] = evidence.derived.remembered(
        f"runs of {name_of}", "", dict
    )
    handed = {c.name for c in turned.loop.carried}
    leading = _leading(turned, evidence.name)
    right = [n for n in evidence.right if n in turned.grain.gradients]
    spared = {place for name in right for place in _leading(turned, name)}
    for number, one in enumerate(every):
        if one.place not in leading:
            continue
        statement, edit = one.statement, one.edit
        body = replace(statement, body=edit.body)
        name = statement.out.name
        what = edit.what
        if edit.code == "missing-path" and handed & operands(statement) - operands(body):
            what = "the gradient that comes from the step after is missing"
        shown = text(turned.step.shown[name]) if name in turned.step.shown else name

        def play(
            seen: Seen, k: int = number, at: int = one.place, line: Statement = body
        ) -> Array | None:
            key = k, seen.key
            if key not in results:
                found = _played(evidence, turned, films, seen, at, line)
                if sum(a.size for a in (found or {}).values()) > _MOST_KEPT:
                    return _gradient(evidence, turned, seen, found)
                results[key] = found
            return _gradient(evidence, turned, seen, results[key])

        def proof(line: Statement = body, owner: str = shown) -> str:
            formula = written(turned.step, line.body, line.free)
            label = evidence.label
            return f"your {label} is what comes out with {owner} = {formula}" if formula else ""

        where = "" if one.place in spared else f", in {shown} of every step"
        yield Hypothesis(
            edit.code,
            edit.cost + 0.05 + SPARED * (one.place in spared),
            f"{what}{where}",
            play,
            proof,
            f"step {name}: {edit.code} {edit.body.key}",
        )


class _Film(Struct, frozen=True):
    """What every step of the loop reads and computes before its gradients, at one point."""

    known: Mapping[str, Array]
    steps: tuple[tuple[int, Mapping[str, Array]], ...]


def _film(turned: _Turned, known: Mapping[str, Array], setting: Setting) -> _Film:
    own = {s.out.name for s in turned.step.statements[turned.step.first :]}
    own |= {c.name for c in turned.loop.carried}
    order = positions(turned.loop, setting)
    taken = steps(turned.loop, known, setting)
    return _Film(
        known,
        tuple(
            (position, {n: v for n, v in values.items() if n not in own})
            for position, values in zip(order, taken, strict=True)
        ),
    )


def _played(
    evidence: Evidence,
    turned: _Turned,
    films: dict[bytes, _Film],
    seen: Seen,
    place: int,
    line: Statement,
) -> Mapping[str, Array] | None:
    """The results of the loop with one line of its steps changed."""
    bench = evidence.bench(turned.grain, seen.number)
    setting, loop, step = bench.setting, turned.loop, turned.step
    if seen.key not in films:
        films[seen.key] = _film(turned, bench.known, setting)
    film = films[seen.key]
    lines = list(step.statements[step.first :])
    lines[place - step.first] = line
    inputs = {t.name: t.shape for t in loop.body.inputs}
    state = {
        c.name: bench.known[c.initial.name]
        if c.initial is not None
        else np.zeros(tuple(setting.size(dim) for dim in inputs[c.name]))
        for c in loop.carried
        if c.name in inputs
    }
    values: dict[str, list[Array]] = {scan.source: [] for scan in turned.scans}
    try:
        for _, before in film.steps:
            found = run(lines, {**before, **state}, setting)
            state = {c.name: found[c.result] for c in loop.carried if c.name in inputs}
            for source, kept in values.items():
                kept.append(found[source])
        return {
            scan.out.name: np.asarray(result_of(scan, values[scan.source], bench.known, setting))
            for scan in turned.scans
        }
    except (ValueError, IndexError, ZeroDivisionError, KeyError, UnsupportedError):
        return None  # not defined at these sizes


def _gradient(
    evidence: Evidence, turned: _Turned, seen: Seen, outs: Mapping[str, Array] | None
) -> Array | None:
    """The gradient of the evidence from the results of the loop."""
    if outs is None:
        return None
    tensor = turned.grain.gradients[evidence.name]
    bench = evidence.bench(turned.grain, seen.number)
    if tensor in outs:
        return np.asarray(outs[tensor], dtype=float) * bench.factor
    return bench.changed(tensor, values=outs, after=turned.grain.first)


def _leading(turned: _Turned, variable: str) -> set[int]:
    """The lines of a step that take part in a gradient, by the steps before as well."""
    tensor = turned.grain.gradients[variable]
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


def _of_the_loop(evidence: Evidence, turned: _Turned) -> Iterator[Hypothesis]:
    tensor = turned.grain.gradients[evidence.name]
    loop, label = turned.loop, evidence.label
    places = [turned.grain.place(scan.out.name) for scan in turned.scans]
    spared = any(p is not None and evidence.spared(turned.grain, p) for p in places)

    def told(code: str, cost: float, what: str, scans: tuple[Scan, ...], key: str) -> Hypothesis:
        return Hypothesis(code, cost, what, _player(evidence, turned, scans), key=key)

    further = SPARED * spared  # one loop gives them all
    if any(s.out.name == tensor and s.what == "sum" for s in turned.scans):
        last = tuple(replace(s, what="last") if s.out.name == tensor else s for s in turned.scans)
        text = "every step overwrites what the one before has left: = in place of +="
        yield told("overwritten", 0.9, text, last, f"last {label}")

    def other(changed: Loop) -> tuple[Scan, ...]:
        return tuple(replace(scan, loop=changed) for scan in turned.scans)

    text = "the loop runs over the steps in the order of the forward pass"
    turning = replace(loop, backwards=not loop.backwards)
    yield told("step-order", 1.0 + further, text, other(turning), "order of the steps")
    for first, word in ((loop.first, "last"), (loop.first + 1, "first")):
        fewer = replace(loop, first=first, size=loop.size - 1)
        text = f"the loop leaves out the {word} step"
        yield told("skipped", 1.1 + further, text, other(fewer), f"without the {word} step")


def _player(
    evidence: Evidence, turned: _Turned, scans: tuple[Scan, ...]
) -> Callable[[Seen], Array | None]:
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
        return _gradient(evidence, turned, seen, {s.out.name: values[s.out.name] for s in scans})

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
