"""A variable that outgrows every step: what is a difference there is nothing but rounding.

Where each step of a layer is linear in a variable, a difference of two forward passes has no
error, however large its own step.  The gradient does not depend on the variable itself, and no
formula by the chain rule reads it; a difference does nothing else.  With some of its entries
``2**60`` times as large, ``f(v + h) - f(v)`` has no digit left.

This is seen from outside, in numbers: nobody needs to be watched for it, so that nobody can hide
from it.  A step that grows with the values stays unseen.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradtool.check.answers import Run
from gradtool.check.bind import Binding
from gradtool.check.compare import is_near
from gradtool.check.linear_in import linear_in
from gradtool.check.measure import compared
from gradtool.check.probes import Probe, growing
from gradtool.check.recall import recall_of
from gradtool.check.reference import Reference
from gradtool.check.scale import ScaleProblem
from gradtool.check.session import CheckTrouble
from gradtool.records import replace

_LOST = 1e-3  # of a gradient: more than the rounding of float32 comes to, in any order
_TIMES = 2.0**60  # no usual step is left of it, and its square is a number of float32 still
_SAME = 1e-9
_ENTRYWISE = frozenset({"real", "positive", "nonnegative"})  # each may be any, whatever the others


def outgrown(reference: Reference, binding: Binding, first: Probe) -> tuple[Probe, ...]:
    """A probe for each variable whose gradient does not depend on it, however large it is.

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
        if not linear_in(reference.spec.forward.text, name, reference.outputs):
            continue
        # Not all entries: a step may be as large as the entry that it moves.
        entries = (np.arange(value.size) % 2 == 0).reshape(value.shape)
        if variable.domain.kind not in _ENTRYWISE:
            entries = np.ones(value.shape, dtype=bool)
        larger = np.where(entries, _TIMES * value, value)
        if _is_constant(reference, first, name, larger):
            words = f"{name} outgrows every step"
            values = {**first.values, name: larger}
            yield replace(first, values=values, scale={name: _TIMES}, varies=words)


def _is_constant(reference: Reference, first: Probe, name: str, larger: np.ndarray) -> bool:
    """Whether the gradient of a variable is the same at other values of it."""

    def gradient(value: np.ndarray) -> np.ndarray:
        values = {**first.values, name: value}
        with np.errstate(all="ignore"):
            return reference.evaluate(values, first.upstream, first.given)[1][name]

    here, there = gradient(first.values[name]), gradient(larger)
    found = bool(np.isfinite(here).all() and np.isfinite(there).all() and here.any())
    return found and is_near(there, here, _SAME)


def lost_in(
    reference: Reference, binding: Binding, probe: Probe, run: Run, seed: int
) -> tuple[str, float] | None:
    """The variable that is so large at a probe, and how much of its gradient is lost there; None
    where it is not, or where the code has no number for it.
    """
    (name,) = probe.scale
    try:
        outcome = compared(reference, binding, probe, run, seed).gradients.get(name)
    except (CheckTrouble, ScaleProblem):
        return None
    if outcome is None or outcome.array is None or not outcome.finite or outcome.error is None:
        return None
    return (name, outcome.error) if outcome.error > _LOST else None
