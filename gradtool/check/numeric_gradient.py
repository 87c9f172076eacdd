"""The gradient of a user's own forward, entry by entry, by evaluating it in the worker."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradtool.check.probes import Probe
from gradtool.check.result import Trouble
from gradtool.check.session import CheckTrouble, Session
from gradtool.check.slopes import Slope, complex_slope, real_slope
from gradtool.records import Struct, replace

_STEP = 1e-3  # of the size of the values
_OTHER_STEP = 0.37
_AGREE = 1e-6  # a complex step and differences, where the function is analytic
_EXACT = 1e-12  # of the gradient: what a complex step is off
_ROUGH = 1e-8  # of the gradient: what differences are off beside their doubt
_SURE = 1e-3
_SETTLED = 1e-5  # a doubt of more than this share of the gradient is that of a kink


class NumericGradient(Struct, frozen=True):
    """`bound` is how far off each entry may be; unsettled entries lie at a kink.

    `exact` tells that it came from steps into the complex plane.
    """

    value: np.ndarray
    bound: np.ndarray
    settled: np.ndarray
    exact: bool

    def against(self, got: np.ndarray | None) -> NumericGradient:
        """The same with the user's own entries where nothing is known."""
        if got is None or np.all(self.settled) or got.size != self.value.size:
            return self
        return replace(
            self, value=np.where(self.settled, self.value, got.reshape(self.value.shape))
        )


class UsersOutput(Struct, frozen=True):
    """The user's output as a function of the inputs at a probe."""

    session: Session
    probe: Probe
    output: str
    seed: int
    max_bytes: int

    def shape(self, needs_upstream: bool) -> tuple[int, ...]:
        """The shape of the output.

        Raises:
            CheckTrouble: the forward fails, or leaves no array of float64.
        """
        probe = self.probe
        if needs_upstream:  # a scalar's, in a snippet that does both passes in one call
            probe = replace(probe, upstream={self.output: np.ones(())})
        run = self.session.evaluate(
            probe.arrays, probe.scalars, seed=self.seed, max_bytes=self.max_bytes, forward_only=True
        )
        if run.trouble is not None:
            raise CheckTrouble(run.trouble)
        value = run.outputs.get(self.output)
        if value is None or value.array is None or value.array.dtype.kind == "c":
            what = "nothing" if value is None else f"{value.kind} {value.detail}".strip()
            text = f"the forward gives {what} where an array is expected"
            raise CheckTrouble(Trouble("forward", text))
        if value.dtype in ("float32", "float16", "bfloat16"):
            text = f"the forward computes in {value.dtype}: differences of it prove nothing"
            raise CheckTrouble(Trouble("forward", f"{text}; write a spec, or compute in float64"))
        return value.array.shape

    def gradient(self, name: str, rng: np.random.Generator) -> NumericGradient:
        """The gradient of `name` for the probe's upstream gradient."""
        value = self.probe.values[name]
        step = _STEP * (float(np.sqrt(np.mean(np.square(value)))) or 1.0)
        analytic = self._analytic(name, step, rng)
        slopes: list[Slope] = []
        for index in np.ndindex(value.shape):
            direction = np.zeros(value.shape)
            direction[index] = 1.0
            slopes.append(self._slope(name, direction, step, analytic))
        found = np.array([s.value for s in slopes]).reshape(value.shape)
        doubts = np.array([s.doubt for s in slopes]).reshape(value.shape)
        with np.errstate(invalid="ignore"):
            # The size of the gradient is that of the entries that are known themselves.
            sure = doubts <= _SURE * np.abs(found)
            size = float(np.max(np.abs(found), initial=0.0, where=sure))
            settled = doubts <= _SETTLED * max(size, 1e-8)
        floor = (_EXACT if analytic else _ROUGH) * max(size, 1e-8)
        return NumericGradient(found, 10 * np.where(settled, doubts, 0) + floor, settled, analytic)

    def _slope(self, name: str, direction: np.ndarray, step: float, analytic: bool) -> Slope:
        if analytic:
            exact = complex_slope(self._along(name, direction))
            if exact is not None:
                return Slope(exact, 0.0)
        along = self._along(name, direction)
        first, second = real_slope(along, step), real_slope(along, _OTHER_STEP * step)
        if first is None or second is None:
            return Slope(float("nan"), float("inf"))
        # A function without a slope can look settled by chance once, not at two steps alike.
        return Slope(
            first.value, max(first.doubt, second.doubt, abs(first.value - second.value) / 2)
        )

    def _analytic(self, name: str, step: float, rng: np.random.Generator) -> bool:
        """Whether a step into the complex plane and differences agree along a random direction."""
        direction = rng.standard_normal(self.probe.values[name].shape)
        along = self._along(name, direction)
        exact, rough = complex_slope(along), real_slope(along, step)
        if exact is None or rough is None or not np.isfinite(rough.doubt):
            return False
        # Slopes that do not settle prove nothing: abs and comparisons drop the imaginary part.
        return abs(exact - rough.value) + rough.doubt <= _AGREE * abs(exact)

    def _along(self, name: str, direction: np.ndarray) -> Callable[[complex], complex | None]:
        def along(t: complex) -> complex | None:
            moved = self.probe.values[name] + t * direction
            probe = replace(self.probe, values={**self.probe.values, name: np.asarray(moved)})
            run = self.session.evaluate(
                probe.arrays,
                probe.scalars,
                seed=self.seed,
                max_bytes=self.max_bytes,
                forward_only=True,
            )
            value = run.outputs.get(self.output)
            upstream = self.probe.upstream[self.output]
            if run.trouble or value is None or value.array is None:
                return None
            if value.array.shape != upstream.shape:
                return None
            return complex(np.sum(upstream * value.array))  # vdot would conjugate

        return along
