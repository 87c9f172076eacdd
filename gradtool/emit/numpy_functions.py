"""The two functions of an emitted module: what they take, what they say, what they return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.numpy_steps import Step
from gradtool.ir.dims import Dim, shape_text
from gradtool.ir.graph import Graph
from gradtool.records import Struct
from gradtool.spec.model import Variable


class Function(Struct, frozen=True):
    """A function of the module: parameters as written, docstring lines, body lines."""

    name: str
    parameters: tuple[str, ...]
    doc: tuple[str, ...]
    body: tuple[str, ...]


class Signature(Struct, frozen=True):
    """What the functions of a layer take and give, as it is spelled in the code.

    Attributes:
        inputs: the arguments of the forward pass.
        upstream: the upstream gradients with their shapes; of a loss the seed.
        results: the gradients.
        folded: whether the seed of a loss is in the lines already.
    """

    module: ModuleNames
    graph: Graph
    inputs: Mapping[str, Variable]
    upstream: Mapping[str, tuple[Dim, ...]]
    outputs: tuple[str, ...]
    results: tuple[str, ...]
    folded: bool


def forward_function(
    layer: Signature, steps: Sequence[Step], cache: Sequence[str], keywords: Sequence[str]
) -> Function:
    """The forward pass: its lines, what it returns and what it keeps."""
    parameters = list(layer.inputs)
    named = [*keywords] + [
        f"{layer.module.python(n)}={default_text(v)}" for n, v in layer.graph.constants.items()
    ]
    if named:
        parameters += ["*", *named]
    outputs = layer.outputs
    doc = ["Compute " + " and ".join(outputs) + ".", "", "Args:"]
    doc += [f"    {name}: {described(v)}." for name, v in layer.inputs.items()]
    doc += [f"    {name}: the size {name}." for name in keywords]
    doc += ["", "Returns:"]
    shapes = [
        f"{layer.module.python(n)} {shape_text(layer.graph.tensors[n].shape)}"
        for n in layer.graph.outputs
    ]
    several = len(outputs) > 1
    doc.append(f"    {', '.join(shapes)}, and the cache that `backward` reads.")
    body = [line for step in steps for line in step.code]
    shown = f"({', '.join(outputs)})" if several else outputs[0]
    body.append(f"return {shown}, {_tuple(cache)}")
    return Function("forward", tuple(parameters), tuple(doc), tuple(body))


def backward_function(layer: Signature, steps: Sequence[Step], cache: Sequence[str]) -> Function:
    """The backward pass, from the upstream gradients and the cache to the gradients."""
    given = layer.upstream
    seed = layer.module.seed
    outputs = layer.graph.outputs
    body: list[str] = []
    if seed is not None:
        first = f"{layer.module.python(seed)}=1.0"
        parameters: tuple[str, ...] = (first, "cache=()")
        note = f"{layer.module.python(seed)}: the gradient of what follows by {outputs[0]}."
    elif len(given) == 1:
        (name,) = given
        parameters = (name, "cache")
        note = f"{name}: the upstream gradient of {outputs[0]}, {shape_text(given[name])}."
    else:
        parameters = ("upstream", "cache")
        shown = ", ".join(f"{n} {shape_text(s)}" for n, s in given.items())
        note = f"upstream: the upstream gradients {shown}, in a tuple."
        used = {n for step in steps for n in step.reads}
        body.append(f"{', '.join(n if n in used else '_' for n in given)} = upstream")
    doc = [
        "Compute the gradients from the upstream gradient.", "", "Args:", f"    {note}",
        "    cache: the second result of `forward`.",
    ]  # fmt: skip
    if cache:
        body.append(f"{', '.join(cache)}{',' if len(cache) == 1 else ''} = cache")
        if len(cache) == 1:
            body[-1] = f"({cache[0]},) = cache"
    for step in steps:
        body += step.code
    results = list(layer.results)
    if seed is not None and not layer.folded:
        spelled = layer.module.python(seed)
        results = [f"{spelled} * {r}" for r in results]
    line = f"return Gradients({', '.join(results)})"
    if len(line) > 84:
        body += ["return Gradients(", *(f"    {r}," for r in results), ")"]
    else:
        body.append(line)
    return Function("backward", parameters, tuple(doc), tuple(body))


def _tuple(items: Sequence[str]) -> str:
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def default_text(value: int | Fraction) -> str:
    """A constant as a short Python literal."""
    if isinstance(value, int):
        return str(value)
    if value.denominator == 1:
        return f"{value.numerator}.0"
    return repr(float(value)).replace("e-0", "e-").replace("e+0", "e+")


def described(variable: Variable) -> str:
    """``(N, D)`` with what the values are."""
    shape = shape_text(variable.shape)
    if variable.dtype == "index":
        return f"{shape}, integers from 0 to {variable.index} - 1"
    return f"{shape}, booleans" if variable.dtype == "bool" else shape
