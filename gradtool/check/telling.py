"""Points that tell whether code uses a constant that it is given, or the spec's value of it.

Code that has the value of a margin or a threshold written into it is wrong with another value
only, and there only at points at which the constant matters: a value between both thresholds, a
triplet between both margins.  So beside the drawn point with other constants there are more, until
every output and every gradient that depends on a constant differs between that constant as it is
changed and as the spec has it: other samples, larger sizes, other scales, a change the other way.

Which differs is asked of the reference alone, before the code is run: the points depend on the
seed and on the way in which the code is called, and on no answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from gradtool.check.bind import Binding
from gradtool.check.compare import is_near
from gradtool.check.guards import SMALL
from gradtool.check.probes import NEAR_KINK, Probe, growing, make_probe, scaled
from gradtool.check.recall import recall_of
from gradtool.check.reference import Reference
from gradtool.check.result import Remark
from gradtool.numeric.reference import SamplingError
from gradtool.numeric.settings import Setting
from gradtool.records import replace

if TYPE_CHECKING:
    from gradtool.check.facts import Case

_SAMPLES = 8  # at the same sizes
_FEW = 3  # at larger sizes
_SCALES = ((4.0, _SAMPLES), (16.0, _SAMPLES), (1 / 4, _FEW), (1 / 16, _FEW))  # samples of each
_FAR = 700  # the number of the first probe that is made here
_MOST_WORK = 40_000  # scalar operations of one evaluation
_DIFFERS = 1e-8  # of the largest entry: far above rounding

Told = frozenset[tuple[str, str]]
"""Constants, each with the name of an output, or of a gradient as ``d<variable>``."""


def telling(reference: Reference, binding: Binding, first: Probe, seed: int) -> tuple[Probe, ...]:
    """A probe with other constants, and those beside it that tell more of them.

    A guard, which is there to move nothing, is looked for at the first only.
    """
    if not _numbers(reference, first.setting.constants):
        return (first,)
    return recall_of(reference).made_of(
        first, ("telling", seed), lambda: tuple(_telling(reference, binding, first, seed))
    )


def untold(case: Case) -> Iterator[Remark]:
    """The constants that no point tells from another value."""
    reference, points = case.reference, case.measured.points
    for name in _numbers(reference, reference.constants):
        there = [p for p in points if name in p.probe.setting.constants]
        if not there or any(_of(reference, p.probe, p.values, name) for p in there):
            continue
        text = (
            f"your code was not seen to use {name}: no point tells "
            f"{reference.constants[name]:g} from another value"
        )
        yield Remark("constant", text)


def _numbers(reference: Reference, constants: Mapping[str, int | float]) -> list[str]:
    """The constants that are no guards and stand in no shape: there another value shows."""
    shapes = [*(v.shape for v in reference.spec.variables), *reference.output_shapes.values()]
    counted = {symbol for shape in shapes for dim in shape for symbol in dim.symbols}
    known = reference.constants
    free = [name for name in constants if name not in counted]
    return [name for name in free if known[name] == 0 or abs(known[name]) > SMALL]


def _telling(reference: Reference, binding: Binding, first: Probe, seed: int) -> Iterator[Probe]:
    names = _numbers(reference, first.setting.constants)
    gradients = [f"d{v.name}" for v in reference.spec.variables if v.differentiable]
    every = {(name, array) for name in names for array in (*reference.outputs, *gradients)}
    told: Told = frozenset()
    for probes in _rounds(reference, binding, first, seed):
        for probe in probes:
            values = _with_stand_ins(reference, probe, seed)
            new = frozenset().union(*(_of(reference, probe, values, name) for name in names)) - told
            if new or probe is first:
                yield probe
            told |= new
            if told >= every:
                return
        if all(any((name, array) in told for array in gradients) for name in names):
            return  # what so many points do not tell does not depend on the constant


def _of(reference: Reference, probe: Probe, values: Mapping[str, np.ndarray], name: str) -> Told:
    """What a probe tells of one constant: the others stay as they are changed there."""
    own = {**probe.given, name: reference.constants[name]}
    with np.errstate(all="ignore"):
        try:
            pairs = zip(
                reference.evaluate(values, probe.upstream, probe.given),
                reference.evaluate(values, probe.upstream, own),
                ("", "d"),
                strict=True,
            )
            return frozenset(
                (name, f"{prefix}{array}")
                for changed, before, prefix in pairs
                for array in changed
                if _differ(changed[array], before[array])
            )
        except (ArithmeticError, IndexError, TypeError, ValueError):
            return frozenset()  # a whole constant with which these sizes do not fit


def _differ(changed: np.ndarray, before: np.ndarray) -> bool:
    """Whether arrays differ by more than rounding; what is not finite cannot be compared."""
    if changed.shape != before.shape or not np.isfinite(changed).all():
        return False
    return not is_near(before, changed, _DIFFERS)


def _with_stand_ins(reference: Reference, probe: Probe, seed: int) -> Mapping[str, np.ndarray]:
    """The values of a probe, with samples for what the code draws itself."""
    if all(v.name in probe.values for v in reference.spec.variables):
        return probe.values
    rng = np.random.default_rng([seed, probe.number])
    return {**reference.sample(probe.given, rng), **probe.values}


def _rounds(
    reference: Reference, binding: Binding, first: Probe, seed: int
) -> Iterator[Iterable[Probe]]:
    """Probes to look at, those first that are as the points of other settings are."""

    def samples(setting: Setting, count: int, start: int) -> Iterator[Probe]:
        for number in range(start, start + count):
            try:
                yield make_probe(reference, binding, setting, number, seed)
            except SamplingError:
                return  # so many values always have one that is close to a kink

    def near(setting: Setting) -> Iterator[Probe]:
        # A mistake is seen best where arrays are small.
        yield from samples(setting, _SAMPLES, _FAR)
        larger = _larger(reference, setting)
        if larger is not None:
            yield from samples(larger, _FEW, _FAR)

    def far(setting: Setting) -> Iterator[Probe]:
        for turn, (factor, count) in enumerate(_SCALES, start=1):
            for probe in samples(setting, count, _FAR + turn * _SAMPLES):
                other = _scaled(reference, probe, factor)
                kink = reference.kinks(_with_stand_ins(reference, other, seed), other.given)
                if kink.gap > NEAR_KINK:
                    yield other

    yield chain([first], near(first.setting))
    yield far(first.setting)
    opposite = _opposite(reference, first.setting)
    if opposite is not None:
        yield near(opposite)
        yield far(opposite)


def _scaled(reference: Reference, probe: Probe, factor: float) -> Probe:
    free = [v.name for v in growing(reference, probe)]
    words = f"{probe.varies}, values {'larger' if factor > 1 else 'smaller'}"
    return scaled(probe, dict.fromkeys(free, factor), words)


def _larger(reference: Reference, setting: Setting) -> Setting | None:
    """The same constants at the largest sizes that are cheap; whole ones may not fit there."""
    if any(isinstance(value, int) for value in setting.constants.values()):
        return None
    usual = [s for s in reference.settings() if not (s.constants or s.uneven or s.beyond)]
    cheap = [s for s in usual if setting.work < s.work <= _MOST_WORK]
    if not cheap:
        return None
    most = max(cheap, key=lambda s: s.work)
    varies = f"{setting.varies}, {most.varies}"
    return replace(most, constants=setting.constants, varies=varies)


def _opposite(reference: Reference, setting: Setting) -> Setting | None:
    """Real constants that are larger than the spec's by as much as they are smaller, or smaller;
    what lies between 0 and 1 stays there."""
    turned: dict[str, float] = {}
    for name, value in setting.constants.items():
        own = reference.constants[name]
        if isinstance(value, int):
            return None
        turned[name] = own * own / value if own else 2 * value
        if 0 < own < 1 <= turned[name]:
            turned[name] = (1 + own) / 2
    return replace(setting, constants=turned)
