"""Masks and labels in another type than that of the spec, for code that raises at this one.

Zeros and ones come as truth values, whole numbers or floats; `~mask`, `x[mask]`, `p[n, labels]`
and `-mask` each work with one of these and raise at others.
"""

from __future__ import annotations

from collections.abc import Iterable

from gradtool.check.bind import Binding
from gradtool.records import replace
from gradtool.spec.model import Variable

_RAISED = ("TypeError", "IndexError", "ValueError", "AssertionError")
_WHOLE = frozenset({"binary", "one-hot", "sign"})
_TYPES = ("bool", "int", "float")
_MOST = 9  # readings of one


def may_be_of_a_type(message: str) -> bool:
    """Whether an exception may come from the type of an array."""
    return message.startswith(_RAISED)


def retyped(binding: Binding, variables: Iterable[Variable], raised: str) -> list[Binding]:
    """The binding with each variable that is of another type as well, and with all of them.

    `raised` is the message of what it raises as it is.
    """
    found = [v for v in variables if not v.read and _types(v)]
    plans = [{v: kind} for v in found for kind in _types(v)]
    if len(found) > 1:
        plans += [{v: k for v in found for k in _types(v) if k == kind} for kind in _TYPES]
    return [_given(binding, plan, raised) for plan in plans[:_MOST] if plan]


def _types(variable: Variable) -> tuple[str, ...]:
    """The types other than its own that a variable's values have."""
    if variable.dtype == "index":
        # A label alone is drawn as a NumPy integer, which is no `int`.
        return () if variable.shape else ("int",)
    if variable.dtype == "bool":
        return ("float", "int")
    if variable.differentiable or variable.domain.kind not in _WHOLE:
        return ()
    return ("int",) if variable.domain.kind == "sign" else ("bool", "int")


def _given(binding: Binding, types: dict[Variable, str], raised: str) -> Binding:
    lines = [
        f"{v.name} = {v.name}.astype({kind})" if v.shape else f"{v.name} = {kind}({v.name})"
        for v, kind in types.items()
    ]
    setup = "\n".join(filter(None, (*lines, binding.setup)))
    told = " and ".join(f"{v.name} is given as {kind}" for v, kind in types.items())
    remark = f"{told}: as it is, your code raises {raised}"
    return replace(binding, setup=setup).remarked(remark)
