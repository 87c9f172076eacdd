"""What the code draws itself, a dropout's mask: whether it is what the spec says it is.

With the mask that was drawn, whatever it is, outputs and gradients can be right.  So where the
spec states the probability of an entry (``domain: bernoulli(p)``) the share that is kept is held
to it, in all and along every axis, where there are many entries; at another value of the constants
too, since for one alone p and 1 - p may be alike.

How improbable a share is follows from Chernoff's bound: that of n independent entries a share q or
a more extreme one is kept, where p is expected, has at most the probability exp(-n KL(q, p)) (W.
Hoeffding, Probability Inequalities for Sums of Bounded Random Variables, 1963, theorem 1).  It
holds for every n, so right code is never called wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradtool.check.facts import Case
from gradtool.check.measure import Point, is_zero, measure
from gradtool.check.probes import Probe, make_probe
from gradtool.check.result import Cause, Compared, Remark
from gradtool.check.shown import Mistake, Shown
from gradtool.numeric.settings import Setting
from gradtool.records import replace
from gradtool.spec.chance import chance_of, names_in
from gradtool.spec.model import Variable

CODE = "draw"
TITLE = "drawn with another probability"
_NEVER = 30.0  # a probability of exp(-30), or 10**-13: right code is not that unlucky
_OTHER_SEED = 1
_FAR = 900  # the number of a probe that is made here


def of_draws(case: Case) -> Shown:
    """Hold what the code draws to the probability that the spec states, where it states one.

    Where that is another one the outputs are wrong, whose numbers are right.
    """
    stated = [v for v in case.reference.spec.variables if v.read and v.domain.chance]
    points = [p for p in case.measured.points if not p.probe.setting.constants]
    if not stated or not points or case.measured.trouble is not None:
        return Shown()
    found, probes, remarks = list(points), 0, list[Remark]()
    for variable in stated:
        largest = max(points, key=lambda point: point.values[variable.name].size)
        if (other := _elsewhere(case, variable, largest.probe)) is not None:
            more = measure(case.session, case.reference, case.binding, [other], case.seed).points
            found, probes = [*found, *more], probes + len(more)
        seed = case.seed + _OTHER_SEED
        again = measure(
            case.session, case.reference, case.binding, [largest.probe], seed
        ).points  # fmt: skip
        found, probes = [*found, *again], probes + len(again)
        if any(_is_alike(variable, largest, one) for one in again):
            text = (
                f"{variable.name} is drawn the same in every call: the code seeds a generator "
                "where it draws"
            )
            remarks.append(Remark("random", text))
    for variable in stated:
        # What is told of the most entries is told best.
        by_size = sorted(found, key=lambda point: -point.values[variable.name].size)
        told = (look(variable, point) for look in (_dependent, _unlikely) for point in by_size)
        if text := next(filter(None, told), ""):
            cause = Cause(CODE, text, 1.0, title=TITLE)
            wrong = tuple(Mistake("output", name, "", cause=cause) for name in points[0].outputs)
            return Shown(tuple(remarks), wrong, probes)
        if not any(_is_telling(variable, point) for point in found):
            most = max(point.values[variable.name].size for point in found)
            text = (
                f"{variable.name}, which your code draws, has {most} entries at most: too few to "
                "tell with which probability one is kept"
            )
            remarks.append(Remark("uncompared", text))
    return Shown(tuple(remarks), probes=probes)


def zero_by_draw(case: Case, gradient: Compared) -> Compared:
    """A gradient that is right and zero everywhere because of what the code drew: not known.

    That of a layer which is flat is zero whatever is drawn.
    """
    drawn = [v for v in case.reference.spec.variables if v.read]
    points = [p for p in case.measured.points if gradient.name in p.gradients]
    if gradient.standing != "ok" or not drawn or not points:
        return gradient
    if not all(is_zero(p.expected, gradient.name) for p in points):
        return gradient
    rng = np.random.default_rng([case.seed, 53])
    for point in points:
        sample = case.reference.sample(point.probe.given, rng)
        values = {**point.values, **{v.name: sample[v.name] for v in drawn}}
        upstream = point.probe.upstream
        other = case.reference.evaluate(values, upstream, point.probe.given)[1][gradient.name]
        if np.any(np.abs(other) > point.expected.gradient_bounds[gradient.name]):
            names = " and ".join(v.name for v in drawn)
            text = f"zero at all {len(points)} points, with {names} as your code draws it"
            return replace(gradient, standing="not computed", message=text)
    return gradient


def _elsewhere(case: Case, variable: Variable, near: Probe) -> Probe | None:
    """A probe with other constants that the probability is computed from; None where there is
    none, or the code is not given them."""
    names = names_in(variable.domain.chance or "")
    for setting in case.reference.settings():
        changed = setting.constants
        if names.isdisjoint(changed) or not all(map(case.binding.mentions, changed)):
            continue
        varies = f"{near.setting.varies}, {setting.varies}"
        large = Setting(near.sizes, varies, near.setting.work, changed)
        return make_probe(case.reference, case.binding, large, _FAR, case.seed)
    return None


def _is_alike(variable: Variable, first: Point, second: Point) -> bool:
    """Whether two masks of different random states are the same, and by no chance."""
    mask, other = first.values[variable.name], second.values[variable.name]
    share = float(mask.mean()) if mask.size else 1.0
    alike = share**2 + (1 - share) ** 2  # of an entry; 1 of a mask that is no draw at all
    return -mask.size * np.log(alike) > _NEVER and np.array_equal(mask, other)


def _is_telling(variable: Variable, point: Point) -> bool:
    """Whether a mask has so many entries that to keep all of them would be improbable."""
    chance = _chance(variable, point)
    sure = np.array([0.0, 1.0])
    return bool(_is_improbable(sure, point.values[variable.name].size, chance).all())


def _chance(variable: Variable, point: Point) -> float:
    return chance_of(variable.domain.chance or "", point.probe.scalars)


def _dependent(variable: Variable, point: Point) -> str:
    """What tells that entries of a mask are not drawn one by one, in words; "" where nothing."""
    mask = point.values[variable.name]
    for axis, (low, high) in _lines(mask):
        line = f"{variable.shape[axis]}={mask.shape[axis]}"
        return (
            f"{variable.name}, which your code draws, is not drawn anew for every entry: of the "
            f"lines along {line} one keeps {_percent(low)}, another {_percent(high)}"
        )
    return ""


def _unlikely(variable: Variable, point: Point) -> str:
    """How the share that a mask keeps is another than stated, in words; "" where it may not be."""
    mask, chance = point.values[variable.name], _chance(variable, point)
    share = np.asarray(mask.mean() if mask.size else chance)
    if not _is_improbable(share, mask.size, chance):
        return ""
    stated, said = variable.domain.chance, f"{chance:.4g}"
    named = f"{stated} = {said}" if stated != said else said
    text = (
        f"{variable.name}, which your code draws, keeps {_percent(float(share))} of {mask.size} "
        f"entries where {named} is the probability to keep one"
    )
    swapped = not _is_improbable(share, mask.size, 1 - chance)
    return f"{text}: it keeps what is to be dropped" if swapped else text


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _lines(mask: np.ndarray) -> Iterator[tuple[int, tuple[float, float]]]:
    """The axes along which lines of a mask are too different, each with the extreme shares.

    That is where one line is none of what all have together, or where every line is all 0 or 1.
    """
    share = float(mask.mean()) if mask.size else 0.0
    if not 0 < share < 1:
        return
    for axis, length in enumerate(mask.shape):
        shares = mask.mean(axis=axis)
        whole = np.log(share**length + (1 - share) ** length)  # that one line is all 0 or all 1
        as_one = np.isin(shares, (0, 1)).all() and -shares.size * whole > _NEVER
        if as_one or np.any(_is_improbable(shares, length, share)):
            yield axis, (float(shares.min()), float(shares.max()))


def _is_improbable(shares: np.ndarray, count: int, chance: float) -> np.ndarray:
    """Whether shares of so many independent entries are none of a probability, by far."""
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.where(shares > 0, shares * np.log(shares / chance), 0.0)
        left = np.where(shares < 1, (1 - shares) * np.log((1 - shares) / (1 - chance)), 0.0)
    divergence: np.ndarray = count * (kept + left) > _NEVER
    return divergence
