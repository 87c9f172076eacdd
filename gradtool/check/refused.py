"""Points that code may refuse and be right all the same, and why."""

from __future__ import annotations

import numpy as np

from gradtool.check.probes import Probe
from gradtool.check.reference import Reference
from gradtool.check.result import Trouble
from gradtool.check.unwritten import unfinished
from gradtool.spec.model import Variable

_DRAWS = 8
_SAME = 1e-9  # of the largest entry: a mean over one sample and its eps round differently


def excuse(reference: Reference, probe: Probe, trouble: Trouble) -> str:
    """Why code may raise at a point; "" where it may not."""
    if probe.setting.uneven:
        return "a window does not fit"
    classes = [v.index for v in reference.spec.variables if v.index is not None]
    if any(count.evaluate(probe.env) == 1 for count in classes):
        return "there is one class only"
    return _without_effect(reference, probe) if _is_refusal(trouble) else ""


def _is_refusal(trouble: Trouble) -> bool:
    """Whether somebody wrote that the code shall raise there, rather than that it breaks."""
    words = trouble.source.replace(":", " ").split()
    return not unfinished(trouble) and ("raise" in words or "assert" in words)


def _without_effect(reference: Reference, probe: Probe) -> str:
    """Which input changes no output where a size is one, as the mean of one sample is the sample.

    Such a layer has nothing to learn there: frameworks refuse to normalise a single sample, too.
    """
    if 1 not in probe.sizes.values():
        return ""
    for variable in reference.spec.variables:
        drawn = variable.role == "input" and variable.differentiable and not variable.read
        if drawn and _changes_nothing(reference, probe, variable):
            return f"no output depends on {variable.name}"
    return ""


def _changes_nothing(reference: Reference, probe: Probe, variable: Variable) -> bool:
    if any(v.name not in probe.values for v in reference.spec.variables):
        return False  # what the code draws itself is not known
    right = reference.forward(probe.values, probe.given)
    rng = np.random.default_rng(probe.number)
    for _ in range(_DRAWS):
        other = reference.sample(probe.given, rng)[variable.name]
        changed = reference.forward({**probe.values, variable.name: other}, probe.given)
        for name, array in right.items():
            largest = float(np.max(np.abs(array), initial=0.0)) or 1.0
            if not np.allclose(changed[name], array, rtol=0.0, atol=_SAME * largest):
                return False
    return True
