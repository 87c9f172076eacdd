"""One number for each channel of an image, given as ``(1, C, 1, 1)``: it broadcasts as it is."""

from __future__ import annotations

from gradtool.check.arguments import IMAGE, Names
from gradtool.check.bind import Binding
from gradtool.records import replace


def with_wide_parameters(binding: Binding, names: Names) -> Binding | None:
    """A binding for code whose parameters have the axes of the images that they scale.

    None where the layer has no images, no such parameters, or a layout of its own.
    """
    channels = {v.shape[1] for v in names.variables if v.role == "input" and len(v.shape) == IMAGE}
    narrow = [
        v.name
        for v in names.variables
        if v.role == "parameter" and len(v.shape) == 1 and v.shape[0] in channels
    ]
    if not narrow or binding.grads:
        return None
    lines = [f"{name} = {name}.reshape(1, -1, 1, 1)" for name in narrow]
    return replace(
        binding,
        convention=f"{binding.convention}, {' and '.join(narrow)} of the shape (1, C, 1, 1)",
        setup="\n".join(filter(None, [*lines, binding.setup])),
    )
