"""Run a binding at every probe and compare what comes back, number by number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from gradtool.check.bind import Binding
from gradtool.check.compare import Outcome, compare
from gradtool.check.convert import Value
from gradtool.check.probes import Probe
from gradtool.check.reference import Reference
from gradtool.check.result import Trouble
from gradtool.check.scale import ScaleProblem, stated
from gradtool.check.session import CheckTrouble, Run, Session
from gradtool.check.tolerance import EPS, Expected, expected
from gradtool.spec.model import Domain, Variable

_ATOL = 1e-6  # for a domain: a mask of 1/p is no longer exact in float32
_STEP_ROUNDING = 8.0


@dataclass(frozen=True, slots=True)
class Point:
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


@dataclass(frozen=True, slots=True)
class Measured:
    """Every point that could be compared, and what stopped the first that could not."""

    points: tuple[Point, ...]
    trouble: Trouble | None
    trouble_at: Mapping[str, int]


def offered(reference: Reference, binding: Binding) -> tuple[Variable, ...]:
    """The variables whose gradient the binding owes."""
    wanted = binding.gradients
    return tuple(
        v
        for v in reference.spec.variables
        if v.differentiable and (wanted is None or v.name in wanted)
    )


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
) -> Measured:
    """Evaluate and compare at every probe.

    An exception at one probe ends it there and is kept; a lost worker ends everything.
    """
    done: list[Point] = []
    trouble: Trouble | None = None
    trouble_at: Mapping[str, int] = {}
    for probe in points:
        try:
            run = session.evaluate(
                probe.arrays, probe.scalars, seed=seed, max_bytes=probe.max_bytes, watch=True
            )
            point = _compared(reference, binding, probe, run, seed)
        except CheckTrouble as lost:
            if trouble is None:
                trouble, trouble_at = lost.trouble, probe.sizes
            break
        except ScaleProblem as problem:
            return Measured((), Trouble("binding", str(problem)), probe.sizes)
        if run.trouble and trouble is None:
            trouble, trouble_at = run.trouble, probe.sizes
        done.append(point)
    return Measured(tuple(done), trouble, trouble_at)


def _compared(reference: Reference, binding: Binding, probe: Probe, run: Run, seed: int) -> Point:
    values = {**probe.values, **_read(reference, probe, run)}
    rng = np.random.default_rng([seed, probe.number, 1])
    right = expected(reference, values, probe.upstream, probe.sizes, rng)
    outputs = {
        name: compare(
            name,
            run.outputs[name],
            right.outputs[name],
            right.output_bounds[name],
            reference.output_shapes[name],
            probe.env,
        )
        for name in reference.outputs
        if name in run.outputs
    }
    gradients = {}
    for variable in offered(reference, binding):
        name = variable.name
        if name not in run.gradients:
            continue
        bound = right.gradient_bounds[name]
        if "step(" in binding.grads.get(name, ""):
            # The gradient is a difference of two parameters, each rounded to its last place.
            largest = float(np.max(np.abs(values[name]), initial=0.0))
            bound = bound + _STEP_ROUNDING * EPS * largest
        value = _scaled(run.gradients[name], binding, name, probe)
        gradients[name] = compare(
            f"d{name}", value, right.gradients[name], bound, variable.shape, probe.env
        )
    return Point(probe, values, right, run, outputs, gradients)


def _scaled(value: Value, binding: Binding, name: str, probe: Probe) -> Value:
    """The user's gradient without the scale that the spec states for it."""
    if name not in binding.scale or value.array is None:
        return value
    return replace(value, array=value.array * stated(binding.scale[name], probe.scalars))


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
        "one-hot": lambda: binary and bool(np.all(array.sum(axis=-1) == 1)),
        "probabilities": lambda: bool(
            np.all(array >= 0) and np.allclose(array.sum(axis=-1), 1, atol=_ATOL)
        ),
    }
    rule = rules.get(domain.kind)
    return bool(np.all(np.isfinite(array))) and (rule is None or rule())
