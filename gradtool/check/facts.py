"""What is known about a wrong array beside that it is wrong: a factor, its forward, its scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradtool.check.bind import Binding
from gradtool.check.compare import Outcome, Role, arrays_of, by_role
from gradtool.check.differences import follows
from gradtool.check.measure import Measured, Point, compared, everything_of, is_zero, measure
from gradtool.check.probes import Probe, make_probe
from gradtool.check.reference import Reference
from gradtool.check.result import Compared, Remark
from gradtool.check.scale import factor_name, ratio
from gradtool.check.session import CheckTrouble, Session
from gradtool.records import Struct, field, replace

if TYPE_CHECKING:
    from gradtool.check.varied import Varied

_RESTRICTED = 2  # points at which a special upstream gradient is tried first
_FOLLOWED = 4  # points at which a gradient is held against the user's own forward


class Case(Struct, frozen=True):
    """Everything about one binding of one file: what was measured, and the means to ask more."""

    reference: Reference
    session: Session
    binding: Binding
    measured: Measured
    drawn: tuple[Probe, ...]
    seed: int
    made: dict[str, Varied] = field(default_factory=dict)

    @property
    def varied(self) -> Varied:
        """The same file with something changed, once for all that ask."""
        from gradtool.check.varied import Varied  # not before something is wrong

        if "varied" not in self.made:
            self.made["varied"] = Varied(
                self.reference, self.session, self.binding, self.measured, self.seed
            )
        return self.made["varied"]

    @property
    def read(self) -> Mapping[str, np.ndarray]:
        """What the user's code drew itself at the first probe."""
        points = self.measured.points
        return self.read_at(points[0]) if points else {}

    def read_at(self, point: Point) -> Mapping[str, np.ndarray]:
        """What the user's code drew itself at a point: the judge has no values for it."""
        names = [v.name for v in self.reference.spec.variables if v.read]
        return {n: point.values[n] for n in names if n in point.values}

    @property
    def first(self) -> Probe:
        """The first probe at which there is something to compare."""
        return self.measured.points[0].probe if self.measured.points else self.drawn[0]

    def excused(self, role: Role) -> frozenset[str]:
        """The outputs or gradients whose numbers are not the spec's at some point.

        In a case that is right they are so but for a guard, or float32 inside.
        """
        everything = (one for point in self.measured.points for one in everything_of(point))
        return frozenset(n for of, n, o in everything if of == role and not o.right)

    @property
    def is_loss(self) -> bool:
        return any(not self.reference.output_shapes[name] for name in self.reference.outputs)


def outcome_of(point: Point, role: Role, name: str) -> Outcome | None:
    return by_role(point, role).get(name)


def right_of(point: Point, role: Role, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The right array, and its bound."""
    return arrays_of(point.expected.double, role, name)


def again(case: Case, probe: Probe) -> Point | None:
    """The measurement at another probe; None where the code raises or is lost."""
    measured = measure(case.session, case.reference, case.binding, [probe], case.seed)
    return measured.points[0] if measured.points and measured.trouble is None else None


def factor_of(case: Case, name: str) -> str | None:
    """The constant by which a gradient is off at every probe: ``2``, ``1/N``; None if it varies."""
    seen: list[tuple[float, Mapping[str, int]]] = []
    for point in case.measured.points:
        outcome = point.gradients.get(name)
        right, bound = right_of(point, "gradient", name)
        if outcome is None or outcome.array is None:
            return None
        if outcome.right:
            continue  # at a size of one, 1/N is 1
        factor = ratio(outcome.array, right, bound)
        if factor is None:
            return None
        seen.append((factor, point.probe.env))
    return factor_name(seen) if seen else None


def course_scale(
    case: Case, gradients: tuple[Compared, ...]
) -> tuple[Case, tuple[Compared, ...], tuple[Remark, ...]]:
    """Take a mean over samples inside the backward of a layer for the convention that it is.

    Accepted when every parameter's gradient has the same factor N or 1/N and the inputs' have
    none.  A loss is averaged in its forward, so there the factor is a mistake.  The case that is
    returned has the gradients without the factor, for all that is asked further.
    """
    variables = {v.name: v for v in case.reference.spec.variables}
    parameters = [c for c in gradients if variables[c.name].role == "parameter"]
    inputs = [c for c in gradients if variables[c.name].role == "input"]
    if case.is_loss or not inputs or not parameters:
        return case, gradients, ()
    if any(c.standing != "wrong" for c in parameters):
        return case, gradients, ()
    factors = {factor_of(case, c.name) for c in parameters}
    factor = factors.pop()
    if factors or factor is None or factor.removeprefix("1/") not in _batches(case.reference):
        return case, gradients, ()
    if any(c.standing == "wrong" and factor_of(case, c.name) == factor for c in inputs):
        return case, gradients, ()
    names = ", ".join(f"d{c.name}" for c in parameters)
    remark = Remark("scale", f"{names}: {factor} times the gradient, as some courses define it")
    fixed = [
        replace(c, standing="ok", message="", worst=None, error=None) if c in parameters else c
        for c in gradients
    ]
    return _without(case, factor, [c.name for c in parameters]), tuple(fixed), (remark,)


def _without(case: Case, factor: str, names: Iterable[str]) -> Case:
    """The case with a factor taken out of some gradients, as a spec's `scale:` would."""
    size = factor.removeprefix("1/")
    inverse = size if size != factor else f"1/{size}"
    known = case.binding.scale
    scale = {n: f"({known[n]}) * ({inverse})" if n in known else inverse for n in names}
    binding = replace(case.binding, scale={**known, **scale})
    points = tuple(
        compared(case.reference, binding, point.probe, point.run, case.seed)
        for point in case.measured.points
    )
    measured = replace(case.measured, points=points)
    return replace(case, binding=binding, measured=measured, made={})


def _batches(reference: Reference) -> set[str]:
    """The sizes that may count samples: the first axis of every input and output, or the last
    where samples are columns, and no axis of a parameter.
    """
    variables = reference.spec.variables
    full = [v.shape for v in variables if v.role == "input" and v.shape]
    full += [shape for name in reference.outputs if (shape := reference.output_shapes[name])]
    own = {s for v in variables if v.role == "parameter" for dim in v.shape for s in dim.symbols}
    ends = [{str(shape[axis]) for shape in full} for axis in (0, -1)]
    return {name for found in ends if len(found) == 1 for name in found - own}


def followed(case: Case, gradient: Compared) -> Compared:
    """A wrong gradient beside a wrong forward: "follows" where it fits that forward.

    It fits, too, where it is what the forward has but for guards such as ``log(p + 1e-8)``.
    """
    if gradient.standing != "wrong":
        return gradient
    wrong: list[tuple[Point, np.ndarray]] = []
    for point in case.measured.points:
        outcome = point.gradients.get(gradient.name)
        if outcome is None and point.run.trouble is not None:
            continue  # it raises there, which is told
        if outcome is None or outcome.array is None:
            return gradient
        if not outcome.right:
            wrong.append((point, outcome.array))
    if fits(case, gradient.name, wrong):
        found = [p.gradients.get(gradient.name) for p in case.measured.points]
        nothing = not any(o.array.any() for o in found if o is not None and o.array is not None)
        text = f"it is zero, for your forward pass does not depend on {gradient.name}"
        told = text if nothing else ""
        return replace(gradient, standing="follows", message=told, nothing=nothing)
    with case.varied.without_guards() as (session, guards):
        if session is not None and fits(replace(case, session=session), gradient.name, wrong):
            return replace(gradient, standing="follows", message=f"but for {guards}")
    return gradient


def fits(case: Case, name: str, wrong: Sequence[tuple[Point, np.ndarray]]) -> bool:
    """Whether a gradient is the derivative of the user's own forward where it is wrong.

    Looked at wherever it is wrong, up to a few points: at one alone a layer may be dead, and a
    gradient of zeros fit.
    """
    told: list[bool | None] = []
    for point, array in sorted(wrong, key=lambda pair: not pair[1].any())[:_FOLLOWED]:
        rng = np.random.default_rng([case.seed, 11])
        forward = UsersForward(case, point.probe)
        follow = follows(forward, point.values, point.probe.upstream, name, array, rng)
        if follow is False:
            return False
        told.append(follow and bool(array.any()))
    return True in told or (bool(told) and None not in told)


class UsersForward(Struct, frozen=True):
    """The user's own forward as a function of the values."""

    case: Case
    probe: Probe

    def foresee(self, values: Sequence[Mapping[str, np.ndarray]]) -> None:
        """Tell at which values it will be asked for, the same arrays, or may be."""
        moved = [self._moved(one) for one in values]
        self.case.session.foresee(
            [(probe.arrays, probe.scalars, probe.max_bytes) for probe in moved],
            seed=self.case.seed,
            forward_only=True,
        )

    def _moved(self, values: Mapping[str, np.ndarray]) -> Probe:
        return replace(self.probe, values={name: values[name] for name in self.probe.values})

    def __call__(self, values: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray] | None:
        moved = self._moved(values)
        try:
            run = self.case.session.evaluate(
                moved.arrays,
                moved.scalars,
                seed=self.case.seed,
                max_bytes=moved.max_bytes,
                forward_only=True,
            )
        except CheckTrouble:
            return None
        names = self.case.reference.outputs
        found = {n: run.outputs[n].array for n in names if n in run.outputs}
        arrays = {n: array for n, array in found.items() if array is not None}
        return arrays if len(arrays) == len(names) else None


def restricted(case: Case, gradients: Iterable[Compared]) -> tuple[Remark, ...]:
    """Say so when a wrong backward is right for a special upstream gradient.

    Where the right gradient is zero for that one (a batch norm's for an upstream gradient of
    ones) it says nothing.
    """
    wrong = {c.name for c in gradients if c.standing == "wrong"}
    if not wrong or case.is_loss or case.binding.upstream is not None:
        return ()
    ways = [replace(case.binding, upstream=kind) for kind in ("ones", "one-hot")]
    points = [point.probe for point in case.measured.points]
    tries = [[_as_given(case, way, probe) for probe in points[:_RESTRICTED]] for way in ways]
    case.session.foresee(
        [(p.arrays, p.scalars, p.max_bytes) for few in tries for p in few],
        seed=case.seed,
        watch=True,
    )
    for kind, way, few in zip(("ones", "one-hot"), ways, tries, strict=True):
        tried = _all_right(case, way, few)
        telling = all(
            any(not is_zero(p.expected, name) for p in tried if name in p.gradients)
            for name in wrong
        )
        if not tried or not telling:
            continue
        # Small sizes hide much: it holds where it holds at all that were compared.
        rest = [_as_given(case, way, probe) for probe in points[_RESTRICTED:]]
        others = _all_right(case, way, rest) if rest else ()
        if rest and not others:
            continue
        pairs = list(zip(case.measured.points, (*tried, *others), strict=True))
        if all(any(_was_wrong(name, *pair) for pair in pairs) for name in wrong):
            return (Remark("restricted", f"right when the upstream gradient is {kind}"),)
    return ()


def _was_wrong(name: str, point: Point, special: Point) -> bool:
    """Whether an entry that is wrong at a point is none of those that are zero for the special
    upstream gradient: what is wrong at one constant only may be right there by chance."""
    outcome, values = point.gradients.get(name), special.values
    if outcome is None or outcome.right:
        return False
    if any(not np.array_equal(array, point.values[n]) for n, array in values.items()):
        return False  # other values of the same sizes, at which it may be right anyway
    there = np.abs(special.expected.gradients[name]) > special.expected.gradient_bounds[name]
    if outcome.array is None:
        return bool(there.any())
    off = np.abs(outcome.array - point.expected.gradients[name])
    return bool(np.any(there & ~(off <= point.expected.gradient_bounds[name])))


def _as_given(case: Case, way: Binding, probe: Probe) -> Probe:
    """A probe with the upstream gradient that a binding states."""
    return make_probe(case.reference, way, probe.setting, probe.number, case.seed)


def _all_right(case: Case, way: Binding, probes: Sequence[Probe]) -> tuple[Point, ...]:
    """The points of all probes, if every gradient is right at each of them."""
    found = measure(case.session, case.reference, way, probes, case.seed)
    outcomes = [[*point.gradients.values()] for point in found.points]
    whole = found.trouble is None and len(outcomes) == len(probes) and all(outcomes)
    return found.points if whole and all(o.right for few in outcomes for o in few) else ()
