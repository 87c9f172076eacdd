"""Whether right gradients were found by differences of the forward pass, not by a formula.

A difference in float64 is wrong by what it rounds and leaves out, and is told so.  One in numbers
with more digits, or by a step into the complex plane, is right to the last digit: what tells it is
what the code does on the way, and what becomes of it without its digits.  So is one of a layer that
is linear in what is moved, or quadratic, which is lost where that is large.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from math import inf, prod
from typing import Any, Protocol

from gradtool.check.answers import Run
from gradtool.check.bind import Binding
from gradtool.check.judge import Judgement, as_read
from gradtool.check.measure import Point, bind
from gradtool.check.outgrown import lost_in, outgrown
from gradtool.check.probes import Probe
from gradtool.check.reference import Reference
from gradtool.check.result import DIFFERENCES, Remark
from gradtool.check.rewrite import Change
from gradtool.check.session import CheckTrouble, Session
from gradtool.ir import syntax
from gradtool.records import replace

_BY = "computed by differences in place of a derivative"
_LOSS = 1e-8  # of a gradient: more than a formula loses that is right at random values
_LOST = (
    "it is off by {:.0e} where its numbers longer than float64 are read as float64: it is a "
    "difference of nearly equal numbers, not a formula"
)
_MOST_NUMBERS = 8  # in a forward pass whose backward pass shifts by few
_FEWEST = 3  # calls of the forward pass that no backward pass has another reason for
ONLY_LONGER = (
    "it computes with numbers longer than float64 and could not be run without them, or not in "
    "time, so that differences in place of a derivative could not be told"
)


class Judges(Protocol):
    """What judges a file in a session, read as a binding says."""

    def __call__(self, session: Session, bindings: tuple[Binding, ...]) -> Judgement: ...


def with_means(
    reference: Reference, session: Session, judgement: Judgement, judge: Judges
) -> Judgement:
    """A judgement on a file, with a remark where what is right was found by differences.

    It takes a few runs more at the first point.
    """
    verdict, binding = judgement.verdict, judgement.binding
    if verdict.verdict != "pass" or binding is None or not judgement.points or session.lost:
        return judgement
    try:
        text = _told(reference, session, judgement, binding, judge)
    except CheckTrouble:  # it has been right in time; what is asked here takes longer
        return judgement
    if not text:
        return judgement
    remark = Remark("differences", text)
    return replace(judgement, verdict=replace(verdict, remarks=(*verdict.remarks, remark)))


def _told(
    reference: Reference,
    session: Session,
    judgement: Judgement,
    binding: Binding,
    judge: Judges,
) -> str:
    bind(session, reference, binding)
    point = judgement.points[0]
    counted = counting(point.probe, judgement.verdict.seed)
    seen = session.ask(counted, point.probe.arrays, point.probe.max_bytes).header
    sizes, moved = [seen.get("step")], [seen.get("moved")]
    may = seen.get("may_step") is True or seen.get("may_move") is True
    if may and not tells(seen):
        header = {**counted, "op": "steps"}
        stepped = session.ask(header, point.probe.arrays, point.probe.max_bytes)
        sizes.append(stepped.header.get("step"))
        moved += moves(stepped.header, reference)
    found = (by_complex_step(sizes), by_entries(moved), by_calls(seen, point))
    for text in filter(None, found):
        return f"{_BY}: {text}"
    if seen.get("may_move") is True:
        read, seed = as_read(reference, binding), judgement.verdict.seed
        answers = (
            (
                probe,
                session.evaluate(probe.arrays, probe.scalars, seed=seed, max_bytes=probe.max_bytes),
            )
            for probe in outgrown(read, binding, point.probe)
        )
        for name, text in by_growth(read, binding, answers, seed):
            return f"{_BY}: d{name}: {text}"
    if seen.get("may_be_longer") is True or seen.get("longer") is True:
        told = in_double(reference, session, judgement, binding, counted, point.probe, judge)
        for name, text in told:
            return f"{_BY}: d{name}: {text}" if name else text
    return ""


def counting(probe: Probe, seed: int) -> dict[str, Any]:
    """The header that asks for an evaluation at a probe with calls counted."""
    return {
        "op": "count",
        "scalars": dict(probe.scalars),
        "seed": seed,
        "slot": 0,
        "watch": False,
        "forward_only": False,
        "work": probe.setting.work,
    }


def by_calls(reply: Mapping[str, Any], point: Point) -> str:
    """What tells differences in the calls of the forward pass during one backward pass.

    A difference needs the forward pass once or more for each entry of a variable; a backward
    pass that recomputes it needs it once.
    """
    calls, top = _counts(reply.get("calls")), _counts(reply.get("top"))
    most = max((calls.get(name, 0) for name in top), default=0)
    entries = [prod(g.shape) for g in point.expected.gradients.values()]
    if entries and most - 1 >= max(_FEWEST, min(entries)):
        return f"one backward pass calls the forward pass {most} times"
    return ""


def tells(seen: Mapping[str, Any]) -> bool:
    """Whether it is enough to have counted: steps were seen by then."""
    return bool(_steps([seen.get("step"), seen.get("moved")]))


def moves(stepped: Mapping[str, Any], reference: Reference) -> list[object]:
    """The sizes of moves in the answer to `steps`."""
    around = stepped.get("around")
    return [stepped.get("moved"), *([around] if not _has_grid(reference) else [])]


def _has_grid(reference: Reference) -> bool:
    """Whether a layer may itself add many constants to what is given, as where it has centers."""
    nodes = list(ast.walk(syntax.parse(reference.spec.forward.text)))
    numbers = sum(isinstance(node, ast.Constant) for node in nodes)
    named = any(isinstance(node, ast.Name) and node.id == "arange" for node in nodes)
    return named or numbers > _MOST_NUMBERS


def by_complex_step(sizes: Iterable[object]) -> str:
    """What tells that the code moved a given number by a tiny imaginary one."""
    seen = _steps(sizes)
    if not seen:
        return ""
    return f"differentiates numerically, by a step of {max(seen):.0e} into the complex plane"


def by_entries(sizes: Iterable[object]) -> str:
    """What tells that the code moved one entry of a given array after the other, or many at once
    along one direction after the other, or all numbers by many constants.
    """
    seen = _steps(sizes)
    if not seen:
        return ""
    size = f"{max(seen):.0e}"
    return f"differentiates numerically: it moves given numbers by up to {size}, again and again"


def _steps(sizes: Iterable[object]) -> list[float]:
    """Those that are sizes of steps, of what a worker may answer."""
    return [size for size in sizes if isinstance(size, float) and 0 < size < inf]


def by_growth(
    reference: Reference, binding: Binding, answers: Iterable[tuple[Probe, Run]], seed: int
) -> tuple[tuple[str, str], ...]:
    """The gradients that are lost where the variable outgrows every step, with words.

    `answers` are those at the probes of `gradtool.check.outgrown`.
    """
    found = (lost_in(reference, binding, probe, run, seed) for probe, run in answers)
    return tuple(
        (
            name,
            f"it is off by {error:.0e} where {name} is so large that no step is left of it: it is "
            "a difference of nearly equal numbers, not a formula",
        )
        for name, error in filter(None, found)
    )


def by_cause(judgement: Judgement) -> tuple[tuple[str, str], ...]:
    """The gradients that the judge has found to be differences of the forward pass, with words."""
    return tuple(
        (gradient.name, gradient.cause.message)
        for gradient in judgement.verdict.gradients
        if gradient.cause is not None and gradient.cause.code == DIFFERENCES
    )


def in_double(
    reference: Reference,
    session: Session,
    judgement: Judgement,
    binding: Binding,
    counted: Mapping[str, Any],
    probe: Probe,
    judge: Judges,
) -> tuple[tuple[str, str], ...]:
    """What of the gradients is a difference whose error longer numbers have hidden.

    The file is loaded once more with these read as float64.  A formula loses a few digits by that;
    what loses many is a difference of nearly equal numbers, as that of two forward passes is.
    `counted` asks for what is seen there: by a type that is put together at run time, they may be
    as long as before.  What concerns no gradient by itself has no name.
    """
    verdict, only = judgement.verdict, (("", ONLY_LONGER),)
    try:
        with session.varied(Change(narrow=True)) as other:
            bind(other, reference, binding)
            seen = other.ask(counted, probe.arrays, probe.max_bytes).header
            if seen.get("longer") is True:
                return only
            double = judge(other, (binding,))
    except CheckTrouble:
        return only
    if found := by_cause(double):
        return found
    if double.verdict.trouble is not None and verdict.trouble is None:
        return only
    right = {g.name for g in verdict.gradients if g.was_right}
    return tuple(
        (g.name, _LOST.format(g.error))
        for g in double.verdict.gradients
        if g.name in right and g.standing == "wrong" and (g.error or 0.0) > _LOSS
    )


def _counts(rows: object) -> dict[str, int]:
    """Pairs of a name and a number, as far as the answer of the worker has them."""
    return {
        row[0]: row[1]
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, list) and len(row) == 2
        if isinstance(row[0], str) and isinstance(row[1], int)
    }
