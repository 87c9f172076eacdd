"""Why nobody builds the derivative of a matrix by a matrix."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradtool.derive.explain import Explanation
from gradtool.ir.dims import ONE, Dim, shape_text
from gradtool.report.equations import layers
from gradtool.report.sections import Piece, say
from gradtool.spec.model import LayerSpec

_EXAMPLE = 100


def never_built(spec: LayerSpec, told: Explanation) -> Iterator[Piece]:
    """The fourth-order tensor ∂H/∂W of the first layer whose value and weights are matrices."""
    for layer in layers(spec, told):
        after = layer.activation or layer.affine
        value = told.graph.tensors[after]
        weights = told.graph.tensors[layer.weights]
        if len(value.shape) != 2 or len(weights.shape) != 2 or ONE in value.shape:
            continue
        whole = (*value.shape, *weights.shape)
        pinned = {n: r.exactly for n, r in spec.sizes.items() if r.exactly is not None}
        symbols = sorted(
            {s for dim in whole for s in dim.symbols} - set(pinned) - set(told.graph.constants)
        )
        sizes = {**pinned, **dict.fromkeys(symbols, _EXAMPLE)}
        sizes |= told.graph.integers
        entries = math.prod(dim.evaluate(sizes) for dim in whole)
        kept = math.prod(dim.evaluate(sizes) for dim in weights.shape)
        at = _sizes(symbols, pinned, whole)
        error = f"d{layer.affine}, {shape_text(told.graph.tensors[layer.affine].shape)},"
        yield say(
            f"{after} is {shape_text(value.shape)} and {layer.weights} is "
            f"{shape_text(weights.shape)}. Each entry of {after} has a slope for each entry "
            f"of {layer.weights}, so ∂{after}/∂{layer.weights} is a tensor of order four:"
        )
        yield Piece("formula", f"∂{after}/∂{layer.weights}", shape_text(whole))
        yield say(
            f"{at} that is {entries:,} numbers, nearly all of them 0: an entry of {after} "
            f"depends only on the weights that lead to it. The backward pass never needs "
            f"this tensor. It carries {error} which has already been summed over all paths "
            f"to the loss, and turns it into d{layer.weights} with {kept:,} numbers."
        )
        return


def _sizes(symbols: list[str], pinned: dict[str, int], whole: tuple[Dim, ...]) -> str:
    used = {s for dim in whole for s in dim.symbols}
    fixed = ", ".join(f"{n} = {v}" for n, v in pinned.items() if n in used)
    if not symbols:
        return f"With {fixed}" if fixed else "Here"
    free = " and ".join(symbols) if len(symbols) < 3 else "every size"
    example = f"{free} = {_EXAMPLE}"
    return f"With {fixed}, and for example {example}," if fixed else f"With, for example, {example}"
