"""The gradient of a user's own forward, entry by entry, by evaluating it in the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from gradtool.check.probes import Probe
from gradtool.check.result import Trouble
from gradtool.check.session import CheckTrouble, Session
from gradtool.check.slopes import Slope, complex_slope, real_slope
from gradtool.records import Struct, replace

_STEP = 1e-3  # of the size of the values
_OTHER_STEP = 0.37
SIX_DIGITS = 1e-6  # of a gradient: below what any mistake makes of it
_SMALL = 1e-2  # of a step: what differences of six digits can do with
_AGREE = 1e-6  # a complex step and differences, where the function is analytic
_EXACT = 1e-12  # of the gradient: what a complex step is off
_ROUGH = 1e-8  # of the gradient: what differences are off beside their doubt
_SURE = 1e-3
MOST_ENTRIES = 200  # that are differenced one by one
_SETTLED = 1e-5  # a doubt of more than this share of the gradient is that of a kink


class NumericGradient(Struct, frozen=True):
    """`bound` is how far off each entry may be; unsettled entries lie at a kink.

    Of many entries some are `looked_at`, chosen by chance; the others may be anything.
    `exact` tells that it came from steps into the complex plane.
    """

    value: np.ndarray
    bound: np.ndarray
    settled: np.ndarray
    exact: bool
    looked_at: np.ndarray

    @property
    def size(self) -> float:
        """The largest entry, of those that are known."""
        return float(np.max(np.abs(self.value), initial=0.0, where=self.settled))

    def against(self, got: np.ndarray | None) -> NumericGradient:
        """The same with the user's own entries where nothing is known."""
        known = self.settled & self.looked_at
        if got is None or np.all(known) or got.size != self.value.size:
            return self
        return replace(self, value=np.where(known, self.value, got.reshape(self.value.shape)))


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

    def gradient(
        self, name: str, rng: np.random.Generator, usual: float | None = None
    ) -> NumericGradient:
        """The gradient of `name` for the probe's upstream gradient.

        `usual` is its size at values that are not scaled.  With it, steps are none that large
        values would make large, for a sine has its period there, too; and each entry is known to
        six digits of that size only: textbook formulas lose some where values are large.
        """
        value = self.probe.values[name]
        step = _STEP * (self._size(name) if usual is None else self.small(name))
        direction = rng.standard_normal(value.shape)
        analytic = self._analytic({name: direction}, step) is not None
        chosen = np.arange(value.size)
        if value.size > MOST_ENTRIES:
            chosen = rng.choice(value.size, MOST_ENTRIES, replace=False)
        found, doubts = np.zeros(value.shape), np.zeros(value.shape)
        for place in chosen:
            direction = np.zeros(value.shape)
            direction.flat[place] = 1.0
            slope = self._slope({name: direction}, step, analytic)
            found.flat[place], doubts.flat[place] = slope.value, slope.doubt
        with np.errstate(invalid="ignore"):
            # The size of the gradient is that of the entries that are known themselves.
            sure = doubts <= _SURE * np.abs(found)
            size = float(np.max(np.abs(found), initial=usual or 0.0, where=sure))
            settled = doubts <= _SETTLED * max(size, 1e-8)
        share = SIX_DIGITS if usual is not None else _EXACT if analytic else _ROUGH
        floor = share * max(size, 1e-8)
        bound = floor + 10 * np.where(settled, doubts, 0)
        looked_at = np.zeros(value.shape, dtype=bool)
        looked_at.flat[chosen] = True
        return NumericGradient(found, bound, settled, analytic, looked_at)

    def along(self, directions: Mapping[str, np.ndarray], times: float = 1.0) -> Slope:
        """The slope along a direction of several inputs, for the probe's upstream gradient.

        All entries move at once: steps are so small that few of them can cross a kink, or so many
        `times` as large.
        """
        step = _STEP * _SMALL * times
        exact = self._analytic(directions, step)
        return self._slope(directions, step, False) if exact is None else Slope(exact, 0.0)

    def small(self, name: str) -> float:
        """The size of the values of an input, at most 1: what a step is measured by."""
        return min(self._size(name), 1.0)

    def _size(self, name: str) -> float:
        return float(np.sqrt(np.mean(np.square(self.probe.values[name])))) or 1.0

    def _slope(self, directions: Mapping[str, np.ndarray], step: float, analytic: bool) -> Slope:
        along = self._along(directions)
        if analytic:
            exact = complex_slope(along)
            if exact is not None:
                return Slope(exact, 0.0)
        first, second = real_slope(along, step), real_slope(along, _OTHER_STEP * step)
        if first is None or second is None:
            return Slope(float("nan"), float("inf"))
        # A function without a slope can look settled by chance once, not at two steps alike.
        return Slope(
            first.value, max(first.doubt, second.doubt, abs(first.value - second.value) / 2)
        )

    def _analytic(self, directions: Mapping[str, np.ndarray], step: float) -> float | None:
        """The slope by a step into the complex plane, where differences agree with it."""
        along = self._along(directions)
        exact, rough = complex_slope(along), real_slope(along, step)
        if exact is None or rough is None or not np.isfinite(rough.doubt):
            return None
        # Slopes that do not settle prove nothing: abs and comparisons drop the imaginary part.
        agree = abs(exact - rough.value) + rough.doubt <= _AGREE * abs(exact)
        return exact if agree else None

    def _along(self, directions: Mapping[str, np.ndarray]) -> Callable[[complex], complex | None]:
        values = self.probe.values

        def along(t: complex) -> complex | None:
            moved = {n: np.asarray(values[n] + t * d) for n, d in directions.items()}
            probe = replace(self.probe, values={**values, **moved})
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
            with np.errstate(all="ignore"):  # what is not finite has no slope
                return complex(np.sum(upstream * value.array))  # vdot would conjugate

        return along
