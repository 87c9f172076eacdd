"""Run a binding at every probe and compare what comes back, number by number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from gradtool.check.answers import Run
from gradtool.check.bind import Binding
from gradtool.check.bounds import EPS
from gradtool.check.compare import Outcome, Role, compare
from gradtool.check.convert import Value
from gradtool.check.noise import Look, cleared_of_noise
from gradtool.check.pace import LITTLE, Pace
from gradtool.check.probes import Probe
from gradtool.check.recall import recall_of
from gradtool.check.reference import Reference
from gradtool.check.refused import excuse
from gradtool.check.result import Trouble
from gradtool.check.scale import ScaleProblem, stated
from gradtool.check.session import CheckTrouble, Session, TooSlow
from gradtool.check.tolerance import Expected, expected
from gradtool.ir.dims import sizes_text
from gradtool.records import Struct, replace
from gradtool.spec.model import Domain, Variable

_ATOL = 1e-6  # for a domain: a mask of 1/p is no longer exact in float32
_STEP_ROUNDING = 8.0
_SHARE = 0.25  # of the time that a file has, for all probes: differences and repetitions follow
_POINTS = 2  # at which everything is wrong
_MOST_PROBES = 1000


class Point(Struct, frozen=True):
    """A probe, what is right there, and how the user's values compare with it.

    `values` are the probe's, with what the user's code drew itself.  A name is missing in
    `outputs` or `gradients` when the snippets did not assign it.
    """

    probe: Probe
    values: Mapping[str, np.ndarray]
    expected: Expected
    run: Run
    outputs: Mapping[str, Outcome]
    gradients: Mapping[str, Outcome]


class Measured(Struct, frozen=True):
    """Every point that could be compared, and what stopped the first that could not.

    `left_out` are the probes that the code is too slow for, in words, each reason once, and
    `no_numbers` those where the spec has none; `refused` is what it raised where only a constant
    was another than the spec's, `unfit` what it raised where it may: a window does not fit the
    input, say.
    `spared` tells that slow code that was wrong in all was not asked everywhere: nothing of it is
    known to be right.
    """

    points: tuple[Point, ...]
    trouble: Trouble | None
    trouble_at: Mapping[str, int]
    left_out: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    unfit: tuple[str, ...] = ()
    no_numbers: tuple[str, ...] = ()
    spared: bool = False


def everything_of(point: Point) -> Iterator[tuple[Role, str, Outcome]]:
    """What was compared at a point, the outputs first."""
    yield from (("output", n, o) for n, o in point.outputs.items())
    yield from (("gradient", n, o) for n, o in point.gradients.items())


def is_right(point: Point) -> bool:
    """Whether everything is that was compared at a point."""
    return all(outcome.right for _, _, outcome in everything_of(point))


def offered(reference: Reference, binding: Binding) -> tuple[Variable, ...]:
    """The variables whose gradient the binding owes."""
    wanted = binding.gradients
    return tuple(
        v
        for v in reference.spec.variables
        if v.differentiable and (wanted is None or v.name in wanted)
    )


def is_zero(expected: Expected, name: str) -> bool:
    """Whether the right gradient is zero but for rounding: to agree with it proves nothing."""
    gradient, bound = expected.gradients[name], expected.gradient_bounds[name]
    return bool(np.all(np.abs(gradient) <= bound))


def is_finite(expected: Expected) -> bool:
    """Whether the right outputs and gradients are finite: a spec may overflow.

    Careful code need not, where the spec's formula does.
    """
    return expected.finite


def bind(session: Session, reference: Reference, binding: Binding) -> None:
    """Give the worker a binding; raises `CheckTrouble` where a snippet is no Python."""
    session.bind(
        binding,
        reference.outputs,
        [v.name for v in offered(reference, binding)],
        [v.name for v in reference.spec.variables if v.read],
    )


def measure(
    session: Session,
    reference: Reference,
    binding: Binding,
    points: Iterable[Probe],
    seed: int,
    *,
    sparing: bool = True,
) -> Measured:
    """Evaluate and compare at every probe.

    An exception at one probe ends it there and is kept; a lost worker ends everything.  Slow
    code is spared the probes that it has no time for, and with `sparing` those that would take
    it long where all was wrong before.
    """
    done: list[Point] = []
    trouble: Trouble | None = None
    trouble_at: Mapping[str, int] = {}
    left_out: list[tuple[Probe, str]] = []
    refused: list[str] = []
    unfit: list[tuple[Trouble, Probe, str]] = []
    no_numbers: list[tuple[Probe, str]] = []
    pace, spared = Pace(session.seconds * _SHARE), False
    for probe in points:
        work = probe.setting.work
        if not pace.affords(work):
            # Without the seconds, which no two runs would agree on.
            left_out.append((probe, "your code is too slow for so much work"))
            continue
        if sparing and _all_wrong(done) and pace.is_dear(work):
            spared = True
            continue
        try:
            run = session.evaluate(
                probe.arrays, probe.scalars, seed=seed, max_bytes=probe.max_bytes, watch=True
            )
            pace.took(work, run.seconds)
            point = _point(session, reference, binding, probe, run, seed)
        except TooSlow as slow:
            # Of code that was right where there is little to do, this tells only that it is slow.
            known = work > LITTLE and _all_right(done)
            if not known or not restarted(session, reference, binding):
                trouble, trouble_at = slow.trouble, probe.sizes
                break
            left_out.append((probe, f"your code gave no answer in {session.seconds:g} s"))
            pace.exhaust()
            continue
        except CheckTrouble as lost:
            if trouble is None:
                trouble, trouble_at = lost.trouble, probe.sizes
            break
        except ScaleProblem as problem:
            return Measured((), Trouble("binding", str(problem)), probe.sizes)
        if not is_finite(point.expected) and not run.trouble and done:
            continue  # where the layer itself overflows there is nothing to compare
        # What its own forward pass has taken the backward pass may not refuse.
        taken = bool(binding.forward) and run.trouble and run.trouble.stage == "backward"
        taken = taken and not probe.setting.beyond
        if run.trouble and not taken and probe.setting.constants:
            refused.append(f"where {probe.varies}, it raises {run.trouble.message}")
            continue
        if run.trouble and not taken and (reason := excuse(reference, probe, run.trouble)):
            unfit.append((run.trouble, probe, reason))
            continue
        if run.trouble and trouble is None:
            trouble, trouble_at = run.trouble, probe.sizes
        if not is_finite(point.expected):
            no_numbers.append((probe, "the numbers of the spec itself are not finite there"))
            continue
        done.append(point)
    if unfit and not done and trouble is None:
        trouble, trouble_at = unfit[0][0], unfit[0][1].sizes
    if trouble is None:
        done = _without_noise(session, reference, binding, done, seed)
    return Measured(
        tuple(done),
        trouble,
        trouble_at,
        _for_each_reason(left_out),
        tuple(refused),
        _told(unfit),
        _for_each_reason(no_numbers),
        spared,
    )


def _without_noise(
    session: Session, reference: Reference, binding: Binding, points: list[Point], seed: int
) -> list[Point]:
    """The points, those outputs and gradients right that are off by rounding only."""

    def cleared(role: Role, looks: list[Look]) -> list[Mapping[str, Outcome]]:
        return cleared_of_noise(session, reference, binding, role, looks, seed)

    outputs = cleared("output", [Look(p.probe, p.values, p.outputs) for p in points])
    gradients = cleared("gradient", [Look(p.probe, p.values, p.gradients) for p in points])
    return [
        p if o is p.outputs and g is p.gradients else replace(p, outputs=o, gradients=g)
        for p, o, g in zip(points, outputs, gradients, strict=True)
    ]


def _for_each_reason(passed_over: Sequence[tuple[Probe, str]]) -> tuple[str, ...]:
    """Every reason once, behind all that was passed over for it."""
    found: dict[str, dict[str, None]] = {}
    for probe, reason in passed_over:
        found.setdefault(reason, {})[probe.varies] = None
    return tuple(f"{', '.join(varied)}: {reason}" for reason, varied in found.items())


def _told(unfit: Sequence[tuple[Trouble, Probe, str]]) -> tuple[str, ...]:
    """Every exception once, with the first sizes."""
    first = {trouble.message: (probe, reason) for trouble, probe, reason in reversed(unfit)}
    return tuple(
        f"where {reason} ({sizes_text(probe.sizes)}) it raises {message}"
        for message, (probe, reason) in first.items()
    )


def _all_wrong(points: Sequence[Point]) -> bool:
    """Whether slow code has shown already that it gives no right gradient."""
    return bool(points) and all(
        outcome.array is not None and not outcome.right
        for point in points[:_POINTS]
        for outcome in point.gradients.values()
    )


def _point(
    session: Session, reference: Reference, binding: Binding, probe: Probe, run: Run, seed: int
) -> Point:
    """The comparison at one probe; the same answer of another file gives the same."""
    if not run.raw or not recall_of(reference).keeps(probe):
        return compared(reference, binding, probe, run, seed)
    way = *binding.grads.items(), *binding.scale.items(), binding.gradients
    return session.answers.of(
        ("point", id(probe), seed, way, run.raw),
        lambda: compared(reference, binding, probe, run, seed),
        holding=probe,
        size=len(run.raw),
    )


def _all_right(points: Sequence[Point]) -> bool:
    return any(p.outputs or p.gradients for p in points) and all(map(is_right, points))


def restarted(session: Session, reference: Reference, binding: Binding) -> bool:
    """Whether there is a worker again, in place of one that was lost."""
    try:
        session.again()
        bind(session, reference, binding)
    except CheckTrouble:
        return False
    return True


def compared(reference: Reference, binding: Binding, probe: Probe, run: Run, seed: int) -> Point:
    """An answer at a probe against what is right there.

    Raises:
        CheckTrouble: what the code draws itself is not there, or not what the spec allows.
        ScaleProblem: the scale that the spec states is none.
    """
    values = {**probe.values, **_read(reference, probe, run)}
    number = seed * _MOST_PROBES + probe.number

    def made() -> Expected:
        return expected(reference, values, probe.upstream, probe.given, number, probe.setting.work)

    # What the code drew itself is part of the values.
    alone = values.keys() == probe.values.keys()
    right = recall_of(reference).made_of(probe, ("expected", number), made, alone=alone)
    outputs = {
        name: compare(
            "output", name, run.outputs[name], right, reference.output_shapes[name], probe.env
        )
        for name in reference.outputs
        if name in run.outputs
    }
    gradients = {}
    for variable in offered(reference, binding):
        name = variable.name
        if name not in run.gradients:
            continue
        slack = 0.0
        if "step(" in binding.grads.get(name, ""):
            # The gradient is a difference of two parameters, each rounded to its last place.
            slack = _STEP_ROUNDING * EPS * float(np.max(np.abs(values[name]), initial=0.0))
        value = _scaled(run.gradients[name], binding, name, probe)
        gradients[name] = compare("gradient", name, value, right, variable.shape, probe.env, slack)
    return Point(probe, values, right, run, outputs, gradients)


def _scaled(value: Value, binding: Binding, name: str, probe: Probe) -> Value:
    """The user's gradient without the scale that the spec states for it."""
    if name not in binding.scale or value.array is None:
        return value
    return value._replace(array=value.array * stated(binding.scale[name], probe.scalars))


def _read(reference: Reference, probe: Probe, run: Run) -> dict[str, np.ndarray]:
    """What the user's code drew itself, if it is what the spec allows."""
    found = {}
    for variable in reference.spec.variables:
        if not variable.read:
            continue
        name = variable.name
        value = run.outputs.get(name)
        if value is None or value.array is None:
            if run.trouble:
                raise CheckTrouble(run.trouble)
            message = f"{name} is read from your code, but the forward snippet left no array"
            raise CheckTrouble(Trouble("forward", message))
        shape = tuple(dim.evaluate(probe.env) for dim in variable.shape)
        if value.array.shape != shape:
            message = f"{name}, read from your code, has shape {value.array.shape}, not {shape}"
            raise CheckTrouble(Trouble("forward", message))
        if not _in_domain(value.array, variable.domain):
            message = f"{name}, read from your code, is not {variable.domain.kind}"
            raise CheckTrouble(Trouble("forward", message))
        found[name] = value.array
    return found


def _in_domain(array: np.ndarray, domain: Domain) -> bool:
    low = -np.inf if domain.low is None else float(domain.low)
    high = np.inf if domain.high is None else float(domain.high)
    binary = bool(np.all((array == 0) | (array == 1)))
    rules: dict[str, Callable[[], bool]] = {
        "positive": lambda: bool(np.all(array > 0)),
        "nonnegative": lambda: bool(np.all(array >= 0)),
        "interval": lambda: bool(np.all((array >= low - _ATOL) & (array <= high + _ATOL))),
        "binary": lambda: binary,
        "sign": lambda: bool(np.all(np.abs(array) == 1)),
        "one-hot": lambda: binary and bool(np.all(array.sum(axis=-1) == 1)),
        "probabilities": lambda: bool(
            np.all(array >= 0) and np.allclose(array.sum(axis=-1), 1, atol=_ATOL)
        ),
    }
    rule = rules.get(domain.kind)
    return bool(np.all(np.isfinite(array))) and (rule is None or rule())
