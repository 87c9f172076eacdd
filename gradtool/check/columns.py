"""The other layout: one sample per column (features × samples), as some large courses teach."""

from __future__ import annotations

from dataclasses import replace

from gradtool.check.arguments import Names
from gradtool.check.bind import Binding


def in_columns(binding: Binding, names: Names) -> Binding | None:
    """A binding for code that has samples in columns: transposed on the way in and out.

    None where the layer has no such reading: a tensor of more than two axes, no matrix among
    the inputs, or gradients that the binding reads by expressions of its own.
    """
    real = [v for v in names.variables if v.dtype == "real"]
    matrix = any(v.role == "input" and len(v.shape) == 2 for v in real)
    if not matrix or any(len(v.shape) > 2 for v in names.variables) or binding.grads:
        return None
    turned = [v for v in real if v.shape]
    # A vector of parameters is a column there.
    given = [f"{v.name}.T" if len(v.shape) == 2 else f"{v.name}[:, None]" for v in turned]
    prelude = f"{', '.join(v.name for v in turned)}, = {', '.join(given)},"
    outputs = [f"{name} = np.transpose({name})" for name in names.outputs]
    upstream = [f"d{name} = np.transpose(d{name})" for name in names.outputs]
    offered = [v for v in turned if v.differentiable and binding.mentions(f"d{v.name}")]
    back = [
        f"d{v.name} = np.transpose(d{v.name})"
        if len(v.shape) == 2
        else f"d{v.name} = d{v.name}[:, 0] if np.shape(d{v.name})[1:] == (1,) else d{v.name}"
        for v in offered
    ]
    forward = [binding.forward or "", *outputs]
    if binding.backward:
        backward: list[str] = [*upstream, binding.backward, *back]
    else:
        forward, backward = [*forward, *back], []
    return replace(
        binding,
        convention=f"{binding.convention}, one sample per column",
        setup="\n".join(filter(None, [prelude, binding.setup])),
        forward="\n".join(filter(None, forward)),
        backward="\n".join(backward) or None,
    )
