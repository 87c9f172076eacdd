"""Inputs at which two compared values are equal: relu at exactly zero, ties of a maximum.

An output that is continuous is one number there, and code that gives another one is wrong.  A
gradient is none: any choice between the formulas of both sides is as good as another.  The code
is looked at all the same, on a coarse grid of values: zeros are everywhere in padded images and
after a relu.  Twice:

- as it is: what is not finite there, or outside of what either side gives, is told;
- with an upstream gradient of zero for every output that has a kink there.  Of the outputs that
  are left the gradient is one number, whatever is chosen at the kinks, and code that gives another
  one is wrong.  Without the mask one kink in a batch would excuse every entry of a weight's
  gradient, since it is a sum over the batch: a bound that is as wide as the kink moves the entry
  can never be sharper than the same entry without the kink in it.

Where every output has a kink, as a loss has that is one number, nothing can be masked.  There an
entry that no choice moves is one number all the same, and one that is moved lies between what the
choices give; what is further out than the choices are from each other is wrong.  So many samples
of the choices are taken that one which moves an entry is never missed.

An output has a kink where the forward pass bends by more than a smooth function could within a
small step (`_bent`): a second difference, which is of the order of the step at a kink, of its
square elsewhere, and larger than the step at a jump.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache, partial

import numpy as np

from gradtool.check.bounds import Pair, rms
from gradtool.check.compare import Role, all_of, label_of, place_of
from gradtool.check.facts import Case, right_of
from gradtool.check.measure import Point, everything_of, measure, offered
from gradtool.check.probes import Probe, can_grow
from gradtool.check.recall import recall_of
from gradtool.check.reference import Reference
from gradtool.check.result import Remark, told_at
from gradtool.check.shown import JUMP, Mistake, Shown
from gradtool.records import replace

_GRIDS = (2.0, 1.0)  # values to an integer: coarse, so that many are equal; the finer one first
_FIRST, _LARGEST = 2, 1  # of the sizes that are looked at
# Samples of which side of every kink is taken: a choice that all miss has a chance of 2 ** -63.
_SIDES = 64
_AGREE = 1e-5
_RANGE = 2.0  # times the range that was seen: sums of many kinks reach further
_MOST_WORK = 20_000
_STEP = 1e-5  # and a tenth of it: beyond what float32 rounds, so that either side there is masked
_BENDS = 1e-3  # of the step: a hundred times what a curvature of one gives
_CLOSER = 10.0  # a step so much smaller bends that much less at a kink, a hundred times elsewhere
_SMOOTH = 30.0  # between them
_DIRECTIONS = 3  # two slopes may differ by nothing in one of them
_BESIDE = ", in what does not depend on the choice there"
_CLOSE, _ALIKE = 1e-11, 1e-8  # a side of a kink to rounding; entries that no choice moves

_Taken = Callable[[], list[Pair]]
"""The sides of the kinks of a point, taken once where they are asked for."""


def at_kinks(case: Case) -> Shown:
    """Look at a case that is right wherever there is a derivative."""
    found = Shown()
    for point in _places(case.measured.points):
        found = found.and_also(_at_kinks(case, point.probe, case.read_at(point)))
        if found.wrong or case.session.lost:
            break
    return found


def _places(points: Sequence[Point]) -> list[Point]:
    """The first points, and the largest: among many samples some have a kink and some have not."""
    cheap = [
        p for p in points if p.probe.setting.work <= _MOST_WORK and not p.probe.setting.constants
    ]
    largest = sorted(cheap[_FIRST:], key=lambda p: -p.probe.setting.work)
    return [*cheap[:_FIRST], *largest[:_LARGEST]]


def _at_kinks(case: Case, drawn: Probe, read: Mapping[str, np.ndarray]) -> Shown:
    found = recall_of(case.reference).made_of(
        drawn, ("kinks",), lambda: _grid(case.reference, drawn, read), alone=not read
    )
    if not found:
        return Shown()
    (probe,) = found
    measured = measure(case.session, case.reference, case.binding, [probe], case.seed)
    if measured.trouble is not None:
        text = told_at("where compared values are equal", measured.trouble)
        if case.binding.forward and measured.trouble.stage == "backward":
            # What its own forward pass has taken the backward pass may not refuse.
            return Shown((), tuple(_refused(case, measured.points, text)), 1)
        return Shown((Remark("kink", text),), probes=1)
    if not measured.points:
        return Shown()
    (point,) = measured.points
    calm, sides = _calm(case, point), cache(partial(_sides, case, point))
    wrong = list(_wrong(case, point, sides, "output"))
    if calm is not None:
        beside = sides if calm is point else cache(partial(_sides, case, calm))
        wrong += _wrong(case, calm, beside, "gradient")
    remarks = _remarks(case, point, sides, {(one.role, one.name) for one in wrong})
    return Shown(tuple(remarks), tuple(wrong), 2 if calm and calm is not point else 1)


def _refused(case: Case, points: Sequence[Point], text: str) -> Iterator[Mistake]:
    """The gradients that an exception of the backward pass took; all, if it came behind them."""
    names = [variable.name for variable in offered(case.reference, case.binding)]
    outcomes = [(point.gradients.get(name), name) for point in points for name in names]
    lost = [name for outcome, name in outcomes if outcome is None or outcome.array is None]
    for name in lost or names:
        said = f"right at random values; {text}, after its own forward pass took them"
        yield Mistake("gradient", name, said)


def _grid(reference: Reference, drawn: Probe, read: Mapping[str, np.ndarray]) -> tuple[Probe, ...]:
    """A probe on a grid on which compared values are equal; nothing where none are."""
    if not reference.kinks({**read, **drawn.values}, drawn.given).count:
        return ()
    free = {v.name for v in reference.spec.variables if can_grow(v)}
    for steps in _GRIDS:
        values = {
            name: np.round(value * steps) / steps if name in free else value
            for name, value in drawn.values.items()
        }
        if reference.kinks({**read, **values}, drawn.given).equal:
            return (replace(drawn, values=values, varies="equal values"),)
    return ()


def _remarks(
    case: Case, point: Point, sides: _Taken, told: Collection[tuple[Role, str]]
) -> Iterator[Remark]:
    """What is no choice at a kink; of what is wrong beside it that is `told` already."""
    for role, name, outcome in everything_of(point):
        right, _ = right_of(point, role, name)
        if (role, name) in told or outcome.right or not np.all(np.isfinite(right)):
            continue
        label = label_of(role, name)
        if not outcome.finite:
            text = f"{label} is not finite where compared values are equal, such as a relu at 0"
            yield Remark("kink", text)
            continue
        if outcome.array is None or (role == "output" and name in case.excused(role)):
            continue
        every = np.stack([right, *(all_of(side, role)[name] for side in sides())])
        low, high = every.min(axis=0), every.max(axis=0)
        slack = _RANGE * (high - low) + _AGREE * (1 + np.abs(right))
        off = (outcome.array < low - slack) | (outcome.array > high + slack)
        if np.any(off):
            place = place_of(off)
            text = (
                f"where compared values are equal, {label}{list(place)} is "
                f"{outcome.array[place]:.4g}; both sides give {low[place]:.4g} to {high[place]:.4g}"
            )
            yield Remark("kink", text)


def _sides(case: Case, point: Point) -> list[Pair]:
    """Outputs and gradients close by, where every kink is on one side or the other by chance."""
    rng, probe = np.random.default_rng([case.seed, 41]), point.probe
    every = (_moved(case.reference, point.values, _CLOSE, rng) for _ in range(_SIDES))
    with np.errstate(all="ignore"):  # beyond the end of a domain
        return [case.reference.evaluate(values, probe.upstream, probe.given) for values in every]


def _moved(
    reference: Reference, values: Mapping[str, np.ndarray], by: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    free = {v.name for v in reference.spec.variables if can_grow(v)}
    return {n: v + by * rng.standard_normal(v.shape) if n in free else v for n, v in values.items()}


def _calm(case: Case, point: Point) -> Point | None:
    """The measurement without the outputs that have a kink; with them where nothing is left.

    None where there is none: a contract about the upstream gradient leaves no choice of it.
    """
    if case.binding.upstream is not None:
        return None
    masked = recall_of(case.reference).made_of(
        point.probe,
        ("calm", case.seed),
        lambda: _masked(case, point),
        alone=not case.read_at(point),
        size=sum(upstream.nbytes for upstream in point.probe.upstream.values()),
    )
    if not masked:
        return point
    measured = measure(case.session, case.reference, case.binding, masked, case.seed)
    if measured.trouble is not None or not measured.points:
        return None
    (calm,) = measured.points
    # What the code draws itself decides where its kinks are.
    same = all(np.array_equal(v, point.values[n]) for n, v in calm.values.items())
    return calm if same else None


def _masked(case: Case, point: Point) -> tuple[Probe, ...]:
    """The probe with an upstream gradient of zero for what has a kink there.

    Nothing where there is no kink, or nothing is left.
    """
    probe = point.probe
    bent = _bent(case.reference, probe, point.values, np.random.default_rng([case.seed, 43]))
    if not any(np.any(b) for b in bent.values()):
        return ()
    upstream = {n: np.where(bent[n], 0.0, u) for n, u in probe.upstream.items()}
    if not any(np.any(u) for u in upstream.values()):
        return ()
    return (replace(probe, upstream=upstream),)


def _bent(
    reference: Reference,
    probe: Probe,
    values: Mapping[str, np.ndarray],
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Which entries of every output have a kink or a jump at some values."""
    with np.errstate(all="ignore"):
        middle = reference.forward(values, probe.given)
        bent = {n: np.zeros(v.shape, dtype=bool) for n, v in middle.items()}
        for _ in range(_DIRECTIONS):
            way = _moved(reference, values, 1.0, rng)

            def bends(step: float, way: Mapping[str, np.ndarray] = way) -> dict[str, np.ndarray]:
                ends = [
                    {n: v + by * (way[n] - v) if way[n] is not v else v for n, v in values.items()}
                    for by in (step, -step)
                ]
                up, down = (reference.forward(end, probe.given) for end in ends)
                return {n: np.abs(up[n] + down[n] - 2 * v) for n, v in middle.items()}

            far, near = bends(_STEP), bends(_STEP / _CLOSER)
            for name in bent:
                smooth = (far[name] <= _BENDS * _STEP) | (near[name] * _SMOOTH <= far[name])
                bent[name] |= ~smooth
    return bent


def _wrong(case: Case, at: Point, sides: _Taken, only: Role) -> Iterator[Mistake]:
    """The outputs or gradients that are wrong whatever is chosen at the kinks.

    Gradients are looked at where no output with a kink takes part, if any are left.  What was
    excused elsewhere (a guard, float32 inside) is not held to this.
    """
    for role, name, outcome in everything_of(at):
        (right, _), array, worst = right_of(at, role, name), outcome.array, outcome.worst
        if role != only or outcome.right or name in case.excused(role):
            continue
        if array is None or worst is None or outcome.bound is None:
            continue
        every = np.stack([right, *(all_of(side, role)[name] for side in sides())])
        spread = every.max(axis=0) - every.min(axis=0)
        # An entry that depends on a choice all the same, as of the spec's formula, has none.
        alike = _ALIKE * np.maximum(np.abs(right), rms(right))
        # A choice that is wrong is far off; a long way to a zero, as behind a mean, is not.
        bound = JUMP * outcome.bound + _RANGE * spread + alike
        error = np.abs(array - right)
        with np.errstate(all="ignore"):  # some sides have no number
            place = place_of(np.where(error > bound, error / bound, 0.0))
        if error[place] > bound[place]:
            shown = replace(
                worst,
                index=place,
                got=float(array[place]),
                expected=float(right[place]),
                error=float(error[place]),
                bound=float(bound[place]),
            )
            what = "; it has no jump there" if role == "output" else _BESIDE
            if spread[place] > alike[place]:
                what = ", outside of what the choices there give"
            text = (
                "right at random values, wrong where compared values are equal (a relu at 0, a "
                f"tie){what}"
            )
            yield Mistake(role, name, text, shown)
