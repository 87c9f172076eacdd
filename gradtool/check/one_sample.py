"""Code for one sample where the layer has a batch: a vector ``(D,)``, or a batch of one.

A function that takes one vector is right as it is, and called with a batch it is not: it raises,
or its outer products have the shape of something else.  It is recognised by numbers, as
everything is, and judged at a batch of one only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gradtool.check.arguments import Names
from gradtool.check.bind import Binding
from gradtool.check.candidate import Candidate
from gradtool.check.columns import in_columns
from gradtool.check.conventions import bindings, readings
from gradtool.check.reference import Reference
from gradtool.ir.dims import Dim
from gradtool.records import Struct, replace

_FIRST, _LAST = 0, -1
_ALIKE = 1e-9  # of the largest entry


class Batch(Struct, frozen=True):
    """The size that counts samples, and the axis of every input and output that it is of."""

    size: str
    axis: int


def batch_of(reference: Reference) -> Batch | None:
    """What counts the samples of a layer; None where nothing does.

    It is the first axis of every input and output, or the last one; a loss has none, and then
    only its inputs count.
    """
    spec = reference.spec
    inputs = [v.shape for v in spec.variables if v.role == "input"]
    if any(v.read for v in spec.variables) or not inputs or not all(inputs):
        return None
    shapes = [*inputs, *(s for n in reference.outputs if (s := reference.output_shapes[n]))]
    for axis in (_FIRST, _LAST):
        name = str(shapes[0][axis])
        parameters = [v.shape for v in spec.variables if v.role == "parameter"]
        if (
            all(_counts(shape, axis, name) for shape in shapes)
            and not any(name in dim.symbols for shape in parameters for dim in shape)
            and _may_be_one(reference, name)
        ):
            return Batch(name, axis)
    return None


def _counts(shape: Sequence[Dim], axis: int, name: str) -> bool:
    """Whether a size is that of one axis of a shape, and of no other axis."""
    others = list(shape)
    return str(others.pop(axis)) == name and not any(name in dim.symbols for dim in others)


def _may_be_one(reference: Reference, name: str) -> bool:
    rule = reference.spec.sizes.get(name)
    return rule is None or (rule.minimum <= 1 and rule.exactly in (None, 1))


def is_apart(reference: Reference, batch: Batch) -> bool:
    """Whether samples have nothing to do with each other: whether each sample's output is that of a
    batch of this sample alone.

    A loss is a sum or a mean, so it tells nothing, and nothing is asked of it.
    """
    full = [name for name in reference.outputs if reference.output_shapes[name]]
    inputs = [v.name for v in reference.spec.variables if v.role == "input"]
    setting = next((s for s in reference.settings() if s.sizes[batch.size] > 1), None)
    if not full:
        return True
    if setting is None:
        return False
    sizes = {**setting.sizes, **setting.constants}
    values = reference.sample(sizes, np.random.default_rng(0))
    together = reference.forward(values, sizes)
    for place in range(setting.sizes[batch.size]):
        alone = {n: np.take(values[n], [place], batch.axis) for n in inputs}
        single = reference.forward({**values, **alone}, {**sizes, batch.size: 1})
        for name in full:
            whole = np.take(together[name], [place], batch.axis)
            most = float(np.max(np.abs(whole), initial=0.0)) or 1.0
            if not np.allclose(single[name], whole, rtol=0.0, atol=_ALIKE * most, equal_nan=True):
                return False
    return True


def vectors(candidate: Candidate, reference: Reference, batch: Batch) -> tuple[Binding, ...]:
    """Every reading of a candidate that is given one sample without the axis of the batch.

    Raises:
        NoMatch: the candidate cannot be called, and why.
    """
    if batch.axis != _FIRST:
        return ()  # a layer of columns has a twin of rows, and without a batch they are the same
    found = readings(candidate, Names.of(reference))
    return tuple(one for reading in found for one in _vectors(reading, reference, batch))


def _vectors(binding: Binding, reference: Reference, batch: Batch) -> Iterator[Binding]:
    spec = reference.spec
    inputs = [v for v in spec.variables if v.role == "input"]
    matrices = [v for v in spec.variables if v.role == "parameter" and len(v.shape) == 2]
    full = [n for n in reference.outputs if reference.output_shapes[n]]
    if any(name in binding.grads for name in (v.name for v in inputs)):
        return
    taken = [f"{v.name} = {v.name}[0]" for v in inputs]
    outputs = [f"{name} = np.expand_dims({name}, 0)" for name in full]
    upstream = [f"d{name} = d{name}[0]" for name in full]
    back = [
        f"d{v.name} = np.expand_dims(d{v.name}, 0)"
        for v in inputs
        if v.differentiable and binding.mentions(f"d{v.name}")
    ]
    turned = [v.name for v in matrices]
    for turn in ([], turned) if turned and not binding.grads else ([],):
        given = [*taken, *(f"{name} = {name}.T" for name in turn)]
        told = [f"d{n} = np.transpose(d{n})" for n in turn if binding.mentions(f"d{n}")]
        forward = [binding.forward or "", *outputs]
        backward = [*upstream, binding.backward, *back, *told] if binding.backward else []
        yield replace(
            binding,
            convention=f"{binding.convention}, one sample without the axis {batch.size}",
            setup="\n".join(filter(None, [*given, binding.setup])),
            forward="\n".join(filter(None, forward if backward else [*forward, *back, *told])),
            backward="\n".join(backward) or None,
            one=batch.size,
            drops_batch=True,
        )


def columns_of_one(candidate: Candidate, reference: Reference, batch: Batch) -> tuple[Binding, ...]:
    """Every reading of a candidate that is given one sample as a column ``(D, 1)``.

    Raises:
        NoMatch: the candidate cannot be called, and why.
    """
    if batch.axis != _FIRST:
        return ()
    names = Names.of(reference)
    turned = (in_columns(reading, names) for reading in readings(candidate, names))
    return tuple(replace(b, one=batch.size) for b in turned if b is not None)


def batches_of_one(candidate: Candidate, reference: Reference, batch: Batch) -> tuple[Binding, ...]:
    """Every reading of a candidate that is given a batch of one.

    Raises:
        NoMatch: the candidate cannot be called, and why.
    """
    found = bindings(candidate, Names.of(reference))
    how = f"with {batch.size} = 1"
    return tuple(replace(b, convention=f"{b.convention}, {how}", one=batch.size) for b in found)
