"""Further looks at code that is right where it was compared first: other values, other sizes.

What is compared first are values of about 1 at four small sizes.  A threshold that is forgotten,
such as the upper one of relu6, shows elsewhere only.  Here all gradients are compared at once,
with slopes along random directions; where these differ, entry by entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count

import numpy as np

from gradtool.check.answers import Run
from gradtool.check.bounds import Bounded
from gradtool.check.compare import SINGLE, Outcome, compare
from gradtool.check.numeric_gradient import MOST_ENTRIES, SIX_DIGITS, NumericGradient
from gradtool.check.pace import Pace
from gradtool.check.probes import Probe, growing, scaled
from gradtool.check.result import Compared, Remark, Trouble, told_at
from gradtool.check.scale import ratio
from gradtool.check.session import CheckTrouble, TooSlow
from gradtool.check.shown import MOST_WORK
from gradtool.check.tolerance import Fixed
from gradtool.check.unaided_points import Point, Unaided, drawn, held_to, ran, users_output
from gradtool.ir.dims import Dim, shape_text
from gradtool.numeric.settings import Setting
from gradtool.records import Struct, field

# About a decade apart, so that any threshold in between has values on both sides of it.
_SCALES = (1.0, 1e-3, 1e-2, 0.1, 8.0, 60.0, 500.0)
_MOST_WIDE = 6_000  # scalar operations of a pass with many values
_FEW = 64  # entries that are differenced one by one, and more of quick code
_QUICK = 1e-3  # seconds
_DIRECTIONS = 2
_NINE_DIGITS = 1e-9  # of a gradient at values of about 1
_SINGLE = 1e-4  # of one that was computed as float32
_APART = 1e3  # times another: beside such a gradient digits of the other cannot be seen
_UNSETTLED = 1e-5  # of a slope: the doubt about one across a kink
_LARGER_STEPS = (1e2, 1e4)
_SHARE = 0.25  # of the time that a file has
_EVALUATIONS = 50  # of the forward pass, at one point
_NUMBER = 100  # of the first of these probes


class Further(Struct):
    """What was seen; `rows` are gradients that are wrong, `left_out` is told in words."""

    points: int = 0
    rows: dict[str, Compared] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    trouble: Trouble | None = None


class _Look(Struct, frozen=True):
    """One further point: the code has run there.

    `usual` are the sizes of the gradients where they were compared first, `where` says what is
    other here, and `wrong` how a gradient is called that is wrong here.
    """

    asked: Unaided
    probe: Probe
    run: Run
    usual: Mapping[str, float]
    rng: np.random.Generator
    where: str
    wrong: str
    digits: float


def further(asked: Unaided, points: Sequence[Point], settings: Iterable[Setting]) -> Further:
    """Look at scaled values, few of them and many, and at further settings."""
    seen = Further()
    few = max((point.probe for point in points), key=lambda probe: probe.setting.work)
    every = {name for point in points for name in point.right}
    usual = {n: max(p.right[n].size for p in points if n in p.right) for n in sorted(every)}
    pace = Pace(asked.session.seconds * _SHARE)
    probes = [few]
    numbers = count(_NUMBER)

    def at_scales(probe: Probe) -> None:
        for factor, number in zip(_SCALES, numbers, strict=False):
            if not pace.affords(probe.setting.work * _EVALUATIONS):
                return
            rng = np.random.default_rng([asked.seed, number])
            look = _at_scale(asked, probe, factor, usual, rng, seen)
            if look is not None:
                known = _compared(look, seen)
                pace.took(probe.setting.work * _EVALUATIONS, look.run.seconds * _EVALUATIONS)
                if factor == 1 and probe is few:
                    _told_of_many(look, known, seen)

    try:
        at_scales(few)
        for number, setting in enumerate(settings, len(points)):
            rng = np.random.default_rng([asked.seed, number])
            if setting.work > MOST_WORK:
                seen.left_out.append(f"{setting.varies}: differences would take too long")
                continue
            if not pace.affords(setting.work * _EVALUATIONS):
                seen.left_out.append(f"{setting.varies}: your code is too slow for so much work")
                continue
            look = _at_setting(asked, setting, number, usual, rng, seen)
            if look is not None:
                _compared(look, seen)
                pace.took(setting.work * _EVALUATIONS, look.run.seconds * _EVALUATIONS)
                probes.append(look.probe)
        usable = [p for p in probes if p.setting.work <= _MOST_WIDE and not p.setting.constants]
        many = max(usable, key=lambda probe: probe.setting.work, default=few)
        if many is not few:
            at_scales(many)
    except TooSlow as slow:
        seen.left_out.append(f"further values and sizes: {slow}")
    except CheckTrouble as lost:
        seen.trouble = lost.trouble
    return seen


def _at_scale(
    asked: Unaided,
    first: Probe,
    factor: float,
    usual: Mapping[str, float],
    rng: np.random.Generator,
    seen: Further,
) -> _Look | None:
    """All that may be any number, so many times as large; None where the code does not take it."""
    names = [variable.name for variable in growing(asked.declared, first)]
    if not names:
        return None
    where = f"at values {factor:g} times as large" if factor != 1 else "at random values"
    probe = scaled(first, dict.fromkeys(names, factor), where)
    run = ran(asked, probe)
    if run.trouble is not None:
        seen.remarks.append(Remark("overflow", told_at(where, run.trouble)))
        return None
    others = "at random values" if factor != 1 else "in entries that were chosen by chance"
    digits = SIX_DIGITS if factor != 1 else _NINE_DIGITS
    return _Look(asked, probe, run, usual, rng, where, f"right {others}, wrong {where}", digits)


def _at_setting(
    asked: Unaided,
    setting: Setting,
    number: int,
    usual: Mapping[str, float],
    rng: np.random.Generator,
    seen: Further,
) -> _Look | None:
    """Other sizes or constants; None where the code does not take them."""
    where = f"where {setting.varies}"
    try:
        probe = drawn(asked, setting, number, rng)
    except CheckTrouble as problem:
        if asked.session.lost:
            raise
        text = f"not compared {told_at(where, problem.trouble)}"
        seen.remarks.append(Remark("restricted", text))
        return None
    run = ran(asked, probe)
    if run.trouble is not None:  # what its own forward pass has taken
        seen.trouble = seen.trouble or run.trouble
        return None
    wrong = f"right at other sizes, wrong {where}"
    return _Look(asked, probe, run, usual, rng, where, wrong, SIX_DIGITS)


def _compared(look: _Look, seen: Further) -> set[str]:
    """All gradients together; each by itself where they do not fit, or have no slope.

    The names of those that could be compared, all entries at once.
    """
    lost: list[str] = []
    whole: list[str] = []
    for name in look.usual:
        if name in seen.rows:
            continue  # one mistake of each is enough
        outcome = _shaped(look, name)
        if outcome.array is None:
            _wrong(look, name, outcome, f"{outcome.message} {look.where}", seen)
        elif not np.isfinite(outcome.array).all():
            lost.append(name)
        else:
            whole.append(name)
    fits, _ = _fits(look, whole)
    known = set(whole) if fits else set()
    for name in () if fits else whole:
        alone, text = _fits(look, [name])
        known |= set() if alone is None else {name}
        if alone is False:
            _explained(look, name, text, seen)
    overflowing = [f"d{name}" for name in lost if _has_slope(look, name)]
    if overflowing:
        one = len(overflowing) == 1
        text = f"{', '.join(overflowing)} {'is' if one else 'are'} not finite {look.where}"
        seen.remarks.append(Remark("overflow", f"{text}: {'it overflows' if one else 'they do'}"))
    seen.points += bool(known)
    return known


def _told_of_many(look: _Look, known: set[str], seen: Further) -> None:
    """What of long gradients was not compared: they have no slope where all entries move."""
    for name in look.usual.keys() - known - seen.rows.keys():
        if (size := look.probe.values[name].size) > MOST_ENTRIES:
            text = f"{MOST_ENTRIES} of {size} entries of d{name}, chosen by chance, were compared"
            seen.remarks.append(Remark("uncompared", text))


def _shaped(look: _Look, name: str) -> Outcome:
    """A gradient in the shape that it has to have; without an array where it has another one."""
    shape = look.probe.values[name].shape
    anything = Bounded({}, {name: np.zeros(shape)}, {}, {name: np.full(shape, 1e250)})
    value = look.run.gradients[name]
    dims = _dims(look, name)
    return compare("gradient", name, value, Fixed(anything), dims, look.probe.env)


def _dims(look: _Look, name: str) -> tuple[Dim, ...]:
    return next(v.shape for v in look.asked.declared.spec.variables if v.name == name)


def _fits(look: _Look, names: Sequence[str]) -> tuple[bool | None, str]:
    """Whether gradients fit the slopes along directions of their variables, and why not; None
    where there are no such slopes.
    """
    users, told = users_output(look.asked, look.probe), ""
    single = any(look.run.gradients[name].dtype in SINGLE for name in names)
    share = _SINGLE if single else look.digits
    for _ in range(_DIRECTIONS) if names else ():
        directions: dict[str, np.ndarray] = {}
        sizes: list[float] = []
        said = 0.0
        for name in names:
            shape = look.probe.values[name].shape
            drawn = look.rng.standard_normal(shape)
            small = users.small(name)
            directions[name] = drawn * (small / (float(np.linalg.norm(drawn)) or 1.0))
            got = look.run.gradients[name].array
            assert got is not None
            said += float(np.sum(got.reshape(shape) * directions[name]))
            sizes.append(small * max(float(np.linalg.norm(got)), look.usual[name]))
        if max(sizes) > _APART * min(sizes):
            return None, ""
        slope = users.along(directions)
        if len(names) == 1 and not slope.doubt <= _UNSETTLED * sizes[0]:
            # What is small beside the rest of an output is lost in it at small steps.
            larger = (users.along(directions, times) for times in _LARGER_STEPS)
            slope = min((slope, *larger), key=lambda one: one.doubt)
        size = max(*sizes, abs(slope.value))
        if not slope.doubt <= _UNSETTLED * size:
            return None, ""
        if abs(slope.value - said) <= 10 * slope.doubt + share * size:
            return True, ""
        shown = 4 if f"{slope.value:.4g}" != f"{said:.4g}" else 9
        told = (
            f"along a random direction the output changes by {slope.value:.{shown}g}, "
            f"not by {said:.{shown}g}"
        )
    return (False, told) if told else (None, "")


def _has_slope(look: _Look, name: str) -> bool:
    shape = look.probe.values[name].shape
    slope = users_output(look.asked, look.probe).along({name: look.rng.standard_normal(shape)})
    return bool(np.isfinite(slope.value) and np.isfinite(slope.doubt))


def _explained(look: _Look, name: str, text: str, seen: Further) -> None:
    """A gradient that does not fit: with an entry where few are to be gone through."""
    if look.probe.values[name].size > _FEW and look.run.seconds > _QUICK:
        _wrong(look, name, None, f"{look.wrong}: {text}", seen)
        return
    users = users_output(look.asked, look.probe)
    right = users.gradient(name, look.rng, look.usual[name])
    value = look.run.gradients[name]
    outcome = held_to(right, name, value, _dims(look, name), look.probe.env)
    if outcome.right:  # in the entries that were chosen
        _wrong(look, name, None, f"{look.wrong}: {text}", seen)
    elif limited := _limited(name, outcome, right):
        seen.remarks.append(Remark("clips", f"{limited} {look.where}"))
    else:
        _wrong(look, name, outcome, look.wrong, seen)


def _limited(name: str, outcome: Outcome, right: NumericGradient) -> str:
    """How a gradient is held to a limit, entry by entry or all of it, if that is all; in words."""
    got, bound, known = outcome.array, outcome.bound, right.value
    if got is None or bound is None or got.shape != known.shape:
        return ""
    off = right.settled & right.looked_at & (np.abs(got - known) > bound)
    limits = np.unique(np.abs(got[off]))
    alike = limits.size == 1 and limits[0] > 0
    # One entry alone stands at a limit where that is a round number.
    alike = alike and (np.count_nonzero(off) > 1 or limits[0] == float(f"{limits[0]:.3g}"))
    if alike and np.all(np.abs(known[off]) > limits) and np.all(got[off] * known[off] > 0):
        return f"d{name} is cut off at {limits[0]:g}"
    factor = ratio(got, known, bound) if right.looked_at.all() else None
    return f"d{name} is scaled down" if factor is not None and 0 < factor < 1 else ""


def _wrong(look: _Look, name: str, outcome: Outcome | None, text: str, seen: Further) -> None:
    """Note a gradient that is wrong; what was seen of it first is told."""
    error, worst = (None, None) if outcome is None else (outcome.error, outcome.worst)
    shape = shape_text(_dims(look, name))
    seen.rows.setdefault(name, Compared(name, shape, "wrong", error, worst, text))
