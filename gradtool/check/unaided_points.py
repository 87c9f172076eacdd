"""Points at which a backward pass is compared with differences of its own forward."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gradtool.check.answers import Run
from gradtool.check.bind import Binding
from gradtool.check.bounds import Bounded
from gradtool.check.compare import Outcome, compare
from gradtool.check.convert import Value
from gradtool.check.numeric_gradient import NumericGradient, UsersOutput
from gradtool.check.probes import Probe
from gradtool.check.reference import Reference
from gradtool.check.session import Session
from gradtool.check.tolerance import Fixed
from gradtool.ir.dims import Dim
from gradtool.numeric.settings import Setting
from gradtool.records import Struct, replace

MAX_BYTES = 1 << 26


class Unaided(Struct, frozen=True):
    """One way to read a file, and what is declared of its arguments.

    `declared` gives names, shapes and samples, no forward; `output` is the name of the user's.
    """

    session: Session
    declared: Reference
    way: Binding
    output: str
    seed: int


class Point(Struct, frozen=True):
    """A probe, what the code gives there, and the gradients by differences that it is held to."""

    probe: Probe
    run: Run
    outcomes: Mapping[str, Outcome]
    right: Mapping[str, NumericGradient]


def users_output(asked: Unaided, probe: Probe) -> UsersOutput:
    """The forward pass at a probe."""
    return UsersOutput(asked.session, probe, asked.output, asked.seed, MAX_BYTES)


def drawn(asked: Unaided, setting: Setting, number: int, rng: np.random.Generator) -> Probe:
    """A probe at a setting; its upstream gradient has the shape of the user's output.

    Raises:
        CheckTrouble: the forward fails there, or leaves no array of float64.
    """
    declared, output, way = asked.declared, asked.output, asked.way
    sizes, constants = setting.sizes, {**declared.constants, **setting.constants}
    values = declared.sample(sizes, rng)
    integers = {n: v for n, v in constants.items() if isinstance(v, int)}
    env, scalars = {**integers, **sizes}, {**constants, **sizes}
    probe = Probe(number, sizes, env, values, {}, scalars, setting, {}, setting.varies)
    once = way.backward is None and way.mentions(f"d{output}")
    shape = users_output(asked, probe).shape(needs_upstream=once)
    upstream = rng.standard_normal(shape) if shape or way.mentions(f"d{output}") else np.ones(())
    return replace(probe, upstream={output: np.asarray(upstream)})


def ran(asked: Unaided, probe: Probe) -> Run:
    """Both passes at a probe.

    Raises:
        CheckTrouble: the worker hung, ended or crashed.
    """
    return asked.session.evaluate(
        probe.arrays, probe.scalars, seed=asked.seed, max_bytes=MAX_BYTES, watch=True
    )


def measured(asked: Unaided, probe: Probe, run: Run, rng: np.random.Generator) -> Point:
    """The gradients that a run gave, every entry against differences."""
    users = users_output(asked, probe)
    outcomes: dict[str, Outcome] = {}
    right: dict[str, NumericGradient] = {}
    for variable in asked.declared.spec.variables:
        name = variable.name
        value = run.gradients.get(name)
        if value is None:
            continue
        right[name] = users.gradient(name, rng)
        outcomes[name] = held_to(right[name], name, value, variable.shape, probe.env)
    return Point(probe, run, outcomes, right)


def held_to(
    right: NumericGradient,
    name: str,
    value: Value,
    dims: tuple[Dim, ...],
    sizes: Mapping[str, int],
) -> Outcome:
    """A gradient of the user's against one by differences, where that is known."""
    known = right.against(value.array)
    target = Fixed(Bounded({}, {name: known.value}, {}, {name: known.bound}))
    return compare("gradient", name, value, target, dims, sizes)
