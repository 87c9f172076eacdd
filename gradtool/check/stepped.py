"""A gradient by differences of the forward pass, told from one by a formula.

Its error depends on the step: the user's own forward is differenced, entry by entry, with the
steps that people use, and the one that gives the user's numbers is found.  Rounding noise, which
is other at the slightest move of the inputs, tells the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gradtool.check.bounds import EPS, rms
from gradtool.check.causes.catalogue import title
from gradtool.check.compare import Outcome
from gradtool.check.facts import Case, UsersForward, again
from gradtool.check.measure import Point
from gradtool.check.result import DIFFERENCES, Cause, Compared
from gradtool.records import Struct, replace

TITLE = "finite differences instead of a formula"

_STEPS = (*(10.0**-k for k in range(1, 11)), float(np.sqrt(EPS)), 5e-5, 5e-6, 5e-4)
_LEAST, _MOST = 5e-14, 0.2  # relative errors that a difference may have
_NOISE, _CLEAR = 1e-12, 30.0  # of the scale, and in units of the bound: rounding stays below
_FITS = 0.05  # of the error: what a step that is the user's leaves
_EXACT, _ROUNDED = 1e-4, 64.0  # of the error, where it is no rounding; units of that
_CLOSE, _SAME = 10.0, 1e-6  # times the best, and of the error: as good as the best
_ENTRIES = 4
_MOST_WORK = 50_000  # scalar operations of a forward pass that is run a hundred times
_LITTLE_WORK = 2000  # of one whose gradients by differences are computed twice more
_FINE = 2.0**-20
_ANEW = 0.3


class _Difference(Struct, frozen=True):
    """A kind and a step, and how much of the user's error it leaves unexplained."""

    kind: str
    step: float
    miss: float


def by_differences(case: Case, gradient: Compared) -> Compared:
    """A wrong gradient with its cause, when it is a difference of two forward passes."""
    if gradient.standing != "wrong" or gradient.error is None or gradient.cause is not None:
        return gradient
    wrong = [
        (point, outcome)
        for point in case.measured.points
        if (outcome := point.gradients.get(gradient.name)) is not None and not outcome.right
    ]
    if any(o.array is None or o.error is None or o.single or not o.finite for _, o in wrong):
        return gradient
    point, outcome = min(wrong, key=lambda pair: pair[0].probe.setting.work)
    if point.probe.setting.work > _MOST_WORK or not _LEAST < (outcome.error or 0.0) < _MOST:
        return gradient
    cause = _fit(case, point, gradient.name, outcome)
    if cause is None:
        # Of many entries some are other ones by chance; noise is in all of them.
        # Where values are large a difference may miss by all there is: that is no noise.
        cheap = [
            (p, o)
            for p, o in wrong
            if p.probe.setting.work <= _LITTLE_WORK and (o.error or 0.0) < _MOST
        ] or [(point, outcome)]
        point, outcome = max(cheap, key=lambda pair: pair[0].expected.gradients[gradient.name].size)
        everywhere = len(wrong) == sum(gradient.name in p.gradients for p in case.measured.points)
        cause = _noise(case, point, gradient.name, outcome, everywhere)
    return replace(gradient, cause=cause) if cause is not None else gradient


def _fit(case: Case, point: Point, name: str, outcome: Outcome) -> Cause | None:
    assert outcome.array is not None
    right = point.expected.gradients[name]
    off = np.abs(outcome.array - right)
    worst = np.argsort(off, axis=None)[::-1][:_ENTRIES]
    places = [tuple(map(int, np.unravel_index(int(k), right.shape))) for k in worst]
    fits = _fitting(case, point, name, places, outcome.array, right)
    if not fits:
        return None
    return Cause(DIFFERENCES, f"it is {_named(fits)}, not a derivative", 1.0, title=TITLE)


def _named(fits: Sequence[_Difference]) -> str:
    """What all differences that fit have in common: of a linear layer most are the same."""
    least = min(fit.miss for fit in fits)
    close = [fit for fit in fits if fit.miss <= max(_CLOSE * least, _SAME)]
    kinds, steps = {fit.kind for fit in close}, {fit.step for fit in close}
    kind = f"a {kinds.pop()} difference" if len(kinds) == 1 else "a difference quotient"
    step = f" with a step of {steps.pop():.0e}" if len(steps) == 1 else ""
    return f"{kind} of your own forward{step}"


def _noise(case: Case, point: Point, name: str, outcome: Outcome, everywhere: bool) -> Cause | None:
    """A difference is off at every point; a formula that loses digits at some."""
    assert outcome.array is not None
    worst = outcome.worst
    if worst is None or worst.error < _CLEAR * worst.bound or (outcome.error or 0.0) < _NOISE:
        return None
    if not _is_noise(case, point, name, outcome.array - point.expected.gradients[name]):
        return None
    text = f"its errors of {outcome.error:.0e} are others at the slightest move of the inputs: "
    if not everywhere:
        text += "the noise of a difference of nearly equal numbers, in a formula or in place of one"
        return Cause("unknown", text, 0.0, title=title("unknown"))
    text += "the noise of a difference of two forward passes, not the rounding of a formula"
    return Cause(DIFFERENCES, text, 1.0, title=TITLE)


def _fitting(
    case: Case,
    point: Point,
    name: str,
    places: Sequence[tuple[int, ...]],
    got: np.ndarray,
    right: np.ndarray,
) -> list[_Difference]:
    """The differences that give the user's numbers, at every place that is looked at."""
    forward = UsersForward(case, point.probe)

    def sides_of(place: tuple[int, ...], step: float) -> list[Mapping[str, np.ndarray]]:
        sides: list[Mapping[str, np.ndarray]] = []
        for sign in (1.0, -1.0):
            moved = point.values[name].copy()
            moved[place] += sign * step
            sides.append({**point.values, name: moved})
        return sides

    # Of most steps the first place tells already that they are not the user's.
    first = {step: sides_of(places[0], step) for step in _STEPS}
    forward.foresee([point.values, *(side for sides in first.values() for side in sides)])
    here = forward(point.values)
    size = 0.0 if here is None else sum(rms(a) * a.size for a in here.values())
    found: list[_Difference] = []
    for step in _STEPS if here is not None else ():
        misses = {"forward": 0.0, "backward": 0.0, "centered": 0.0}
        for number, place in enumerate(places):
            ahead, behind = map(forward, sides_of(place, step) if number else first[step])
            if here is None or ahead is None or behind is None:
                return found
            off = abs(got[place] - right[place]) or np.inf
            # What the step leaves out is known to many digits, rounding only to a few.
            most = min(_FITS, max(_EXACT, _ROUNDED * EPS * size / (step * off)))
            for kind, (a, b, width) in {
                "forward": (ahead, here, step),
                "backward": (here, behind, step),
                "centered": (ahead, behind, 2 * step),
            }.items():
                slopes = _slopes(a, b, point.probe.upstream, width)
                miss = float(min(abs(slope - got[place]) for slope in slopes) / off)
                misses[kind] = max(misses[kind], miss if miss < most else np.inf)
            if min(misses.values()) == np.inf:
                break
        found += [_Difference(k, step, miss) for k, miss in misses.items() if miss < np.inf]
    return found


def _slopes(
    a: Mapping[str, np.ndarray],
    b: Mapping[str, np.ndarray],
    upstream: Mapping[str, np.ndarray],
    width: float,
) -> tuple[float, float]:
    """The difference of sums, and the sum of differences: they round otherwise."""
    sums = sum(float(np.sum(u * a[n])) for n, u in upstream.items())
    sums -= sum(float(np.sum(u * b[n])) for n, u in upstream.items())
    parts = sum(float(np.sum((a[n] - b[n]) * u)) for n, u in upstream.items())
    return sums / width, parts / width


def _is_noise(case: Case, point: Point, name: str, error: np.ndarray) -> bool:
    for trial in range(2):
        rng = np.random.default_rng([case.seed, 23, trial])
        values = {
            n: v * (1 + _FINE * rng.uniform(-1, 1, v.shape)) if v.dtype.kind == "f" else v
            for n, v in point.probe.values.items()
        }
        other = again(case, replace(point.probe, values=values))
        outcome = other.gradients.get(name) if other else None
        if other is None or outcome is None or outcome.array is None:
            return False
        change = outcome.array - other.expected.gradients[name] - error
        if rms(change) < _ANEW * rms(error):
            return False
    return True
