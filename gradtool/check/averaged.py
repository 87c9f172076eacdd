"""A loss that is returned for each sample: its mean is the layer's loss.

Code that divides by the number of samples elsewhere returns the gradient of the sum: both are
right, and which it is, is said.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradtool.check.arguments import Names
from gradtool.check.bind import Binding
from gradtool.records import replace


def averaged(binding: Binding, names: Names) -> Iterator[Binding]:
    """The readings of a binding whose forward gives one loss for each sample.

    No other forward fits them: where it gives the mean, a gradient that is not averaged is wrong.
    """
    inputs = [v for v in names.variables if v.role == "input" and v.shape]
    if not names.is_loss or not inputs or binding.backward is None or binding.scale:
        return
    (output,) = names.outputs
    size = str(inputs[0].shape[0])
    if not size.isidentifier():
        return
    each = f"assert np.shape({output}) == ({size},)"
    mean = replace(
        binding,
        forward=f"{binding.forward}\n{each}\n{output} = np.mean({output})",
        convention=f"{binding.convention}, the mean of its losses",
    )
    yield mean
    given = [n for n in names.real if binding.mentions(f"d{n}")]
    if given:
        remark = f"the gradient is that of the sum over {size}, not of the mean"
        scale = dict.fromkeys(given, f"1/{size}")
        yield replace(mean, scale=scale).remarked(remark)
