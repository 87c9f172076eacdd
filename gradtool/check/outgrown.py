"""A variable that outgrows every step: what is a difference there is nothing but rounding.

Where a layer is linear in a variable, a difference of two forward passes has no error, however
large its own step; where it is quadratic, no centered one has.  With some of its entries ``2**60``
times as large, ``f(v + h) - f(v - h)`` has no digit left.  A formula has them all: the gradient
does not depend on the variable, or grows with it, and the chain rule reads nothing that does more.

This is seen from outside, in numbers: nobody needs to be watched for it, so that nobody can hide
from it.  A step that grows with the values stays unseen.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradtool.check.answers import Run
from gradtool.check.bind import Binding
from gradtool.check.compare import is_near
from gradtool.check.degrees import degree_in
from gradtool.check.measure import compared
from gradtool.check.probes import Probe, growing
from gradtool.check.recall import recall_of
from gradtool.check.reference import Reference
from gradtool.check.scale import ScaleProblem
from gradtool.check.session import CheckTrouble
from gradtool.records import replace

_LOST = 1e-3  # of a gradient: more than the rounding of float32 comes to, in any order
_TIMES = 2.0**60  # no usual step is left of it, and its square is a number of float32 still
_SAME, _LEAST = 1e-9, 1e-3
_ENTRYWISE = frozenset({"real", "positive", "nonnegative"})  # each may be any, whatever the others


def outgrown(reference: Reference, binding: Binding, first: Probe) -> tuple[Probe, ...]:
    """A probe for each variable whose gradient does not depend on it, or grows as it does.

    There some of its entries are that large; its name is all that `scale` has.  None where the
    code draws something itself, or where the gradient is read off a step that the code takes,
    which rounds to the variable's last place.
    """
    if any(v.read for v in reference.spec.variables):
        return ()
    stepping = frozenset(n for n, text in binding.grads.items() if "step(" in text)
    key = ("outgrown", stepping)
    return recall_of(reference).made_of(
        first, key, lambda: tuple(_outgrown(reference, first, stepping))
    )


def _outgrown(reference: Reference, first: Probe, without: frozenset[str]) -> Iterator[Probe]:
    for variable in growing(reference, first):
        if not variable.differentiable or variable.name in without:
            continue
        name, value = variable.name, first.values[variable.name]
        degree = degree_in(reference.spec.forward.text, name, reference.outputs)
        if degree not in (1, 2):
            continue
        # Not all entries: a step may be as large as the entry that it moves.
        entries = (np.arange(value.size) % 2 == 0).reshape(value.shape)
        if variable.domain.kind not in _ENTRYWISE:
            entries = np.ones(value.shape, dtype=bool)
        larger = np.where(entries, _TIMES * value, value)
        if _is_known(reference, first, name, larger, degree):
            words = f"{name} outgrows every step"
            values = {**first.values, name: larger}
            yield replace(first, values=values, scale={name: _TIMES}, varies=words)


def _is_known(
    reference: Reference, first: Probe, name: str, larger: np.ndarray, degree: int
) -> bool:
    """Whether the gradient is the same at other values of a variable, or as much larger."""

    def gradient(value: np.ndarray) -> np.ndarray:
        values = {**first.values, name: value}
        with np.errstate(all="ignore"):
            return reference.evaluate(values, first.upstream, first.given)[1][name]

    here, there = gradient(first.values[name]), gradient(larger)
    if not (np.isfinite(here).all() and np.isfinite(there).all() and here.any()):
        return False
    if degree == 1:
        return is_near(there, here, _SAME)
    # If it does not grow like that, its terms take each other away.
    return bool(np.abs(there).max() > _LEAST * _TIMES * np.abs(here).max())


def lost_in(
    reference: Reference, binding: Binding, probe: Probe, run: Run, seed: int
) -> tuple[str, float] | None:
    """The variable that is so large at a probe, and how much of its gradient is lost there; None
    where it is not, or where the code has no number for it.
    """
    (name,) = probe.scale
    try:
        point = compared(reference, binding, probe, run, seed)
    except (CheckTrouble, ScaleProblem):
        return None
    outcome, right = point.gradients.get(name), point.expected
    if outcome is None or outcome.array is None or not outcome.finite or outcome.error is None:
        return None
    if outcome.error <= _LOST or _is_cut_off(outcome.array, right.gradients[name]):
        return None
    return name, outcome.error


def _is_cut_off(got: np.ndarray, right: np.ndarray) -> bool:
    """Whether large numbers are just smaller than they should be, as where code clips them."""
    large = np.abs(right) > _LEAST * _TIMES
    return bool(large.any() and np.all(got[large] * np.sign(right[large]) > 0))
