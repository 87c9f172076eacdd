"""Other layouts: one sample per column (features × samples), as some large courses teach; or one
per row, with the weights of an output in a row, as PyTorch has them.
"""

from __future__ import annotations

from gradtool.check.arguments import Names
from gradtool.check.bind import Binding
from gradtool.records import replace

_COLUMNS = "one sample per column"


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
        convention=f"{binding.convention}, {_COLUMNS}",
        layout=_COLUMNS,
        setup="\n".join(filter(None, [prelude, binding.setup])),
        forward="\n".join(filter(None, forward)),
        backward="\n".join(backward) or None,
    )


def with_turned_weights(binding: Binding, names: Names) -> Binding | None:
    """A binding for code that keeps its matrices of parameters the other way round.

    None where the layer has none.
    """
    turned = [v.name for v in names.variables if v.role == "parameter" and len(v.shape) == 2]
    if not turned:
        return None
    steps = {n: _turned_step(text) if n in turned else text for n, text in binding.grads.items()}
    given = [f"{name} = {name}.T" for name in turned]
    back = [f"d{n} = np.transpose(d{n})" for n in turned if binding.mentions(f"d{n}")]
    forward, backward = [binding.forward or ""], [binding.backward or ""]
    (backward if binding.backward else forward).extend(back)
    return replace(
        binding,
        convention=f"{binding.convention}, {' and '.join(turned)} transposed",
        layout=f"{' and '.join(turned)} transposed",
        setup="\n".join(filter(None, [*given, binding.setup])),
        forward="\n".join(filter(None, forward)),
        backward="\n".join(filter(None, backward)) or None,
        grads=steps,
    )


def _turned_step(text: str) -> str:
    """``step(layer.W)`` of the transposed."""
    return f"{text.removesuffix(')')}.T)"
