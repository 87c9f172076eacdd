"""The four fundamental equations of backpropagation, where a network has their structure.

Source: M. Nielsen, "Neural Networks and Deep Learning", chapter 2 (2015).  A layer is recognised
by what it computes (a product of a parameter with a value, plus a parameter, then a function of
each entry alone), never by a name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gradtool.derive.derivation import Derivation
from gradtool.derive.explain import Explanation, Stage, Use
from gradtool.emit.subscripts import subscripts
from gradtool.emit.text import line, operand, text
from gradtool.derive.reveal import expanded
from gradtool.ir.graph import Statement
from gradtool.ir.poly import Access, Poly, Term
from gradtool.ir.tree import Call, Number
from gradtool.ir.walk import accesses
from gradtool.report.sections import Piece, formula, say
from gradtool.spec.model import LayerSpec


@dataclass(frozen=True, slots=True)
class Layer:
    """``z = W a_in + b``, ``a = f(z)``; `activation` is None for a last layer without f."""

    affine: str
    weights: str
    operand: str
    bias: str
    activation: str


def layers(spec: LayerSpec, told: Explanation) -> list[Layer]:
    """The layers of a network, first to last."""
    parameters = {v.name for v in spec.variables if v.role == "parameter"}
    found: list[Layer] = []
    for stage in told.stages:
        if not stage.alive:
            continue
        parts = _affine(told, stage, parameters)
        if parts is None:
            continue
        uses = told.step_of[stage.name].uses if stage.name in told.step_of else ()
        activation = uses[0].stage.name if len(uses) == 1 and _is_activation(uses[0]) else ""
        found.append(Layer(stage.name, *parts, activation))
    return found


def equations(spec: LayerSpec, told: Explanation, derivation: Derivation) -> Iterator[Piece]:
    """BP1 to BP4 with the names of this network; nothing when no layer has an activation."""
    network = layers(spec, told)
    if not any(layer.activation for layer in network):
        return
    wanted = {*derivation.closed.gradients}
    by_operand = {layer.operand: layer for layer in network}
    yield say("The network has the structure of affine layers and activations, so its steps are "
              "the four equations that every such network shares (M. Nielsen 2015). The error of "
              "a layer is the gradient at its affine stage, "
              f"here {_listed([f'd{layer.affine}' for layer in network])}.")
    scalar = subscripts(derivation)
    heads = ("BP1, the error of the output layer:", "BP2, the error of the layer before:",
             "BP3, the gradient of a bias is the error:",
             "BP4, the gradient of a weight is the value going in times the error coming out:")
    groups: list[list[str]] = [[], [], [], []]
    for layer in reversed(network):
        vector = _error(told, layer, by_operand.get(layer.activation))
        groups[1 if layer.activation in by_operand else 0].append(vector)
        for place, name in ((2, layer.bias), (3, layer.weights)):
            if name in wanted:
                entry = next(e for e in told.derivation.lines if e.name == f"d{name}")
                groups[place].append(line(entry.name, entry.tree))
    for head, group in zip(heads, groups, strict=True):
        if not group:
            continue
        yield Piece("head", head)
        for vector in group:
            name = vector.split(" ")[0]
            yield formula(vector)
            if name in scalar and not _is_scalar(told, name):
                yield Piece("formula", f"    {scalar[name]}")


def _error(told: Explanation, layer: Layer, after: Layer | None) -> str:
    """The error of a layer in vector form."""
    step = told.step_of.get(layer.affine)
    if step is None or not step.lines:
        return f"d{layer.affine} (given)"
    if not layer.activation:
        return line(step.lines[-1].name, step.lines[-1].tree)
    (use,) = step.uses
    assert use.local is not None
    before = told.step_of.get(layer.activation)
    if after is None or before is None or len(before.uses) != 1:
        return line(step.lines[-1].name, step.lines[-1].tree)
    slope = text(use.local)
    if not (isinstance(use.local, Call) and use.local.op == "mul"):
        slope = operand(use.local)
    return f"{step.name} = ({text(before.uses[0].tree)}) * {slope.removeprefix('1 * ')}"


def _affine(
    told: Explanation, stage: Stage, parameters: set[str]
) -> tuple[str, str, str] | None:
    """Weights, operand and bias (or ""), when a stage is a product with a parameter plus one."""
    body = expanded(told.graph, stage.name)
    if body is None or not isinstance(stage.statement, Statement) or len(body.terms) > 2:
        return None
    product = [p for t in body.terms if (p := _plain(t)) and len(p) == 2]
    bias = [p[0] for t in body.terms if (p := _plain(t)) and len(p) == 1]
    if len(product) != 1 or len(product) + len(bias) != len(body.terms):
        return None
    first, second = product[0]
    if second.tensor.name in parameters:
        first, second = second, first
    if first.tensor.name not in parameters or second.tensor.name in parameters:
        return None
    # Every weight joins one entry that goes in with one that comes out.
    if first.indices <= second.indices and first.indices:
        return None
    if bias and bias[0].tensor.name not in parameters:
        return None
    return first.tensor.name, second.tensor.name, bias[0].tensor.name if bias else ""


def _plain(term: Term) -> list[Access] | None:
    """The arrays of a product without powers, numbers and functions."""
    if term.coefficient != 1:
        return None
    found = [a for a, e in term.factors if isinstance(a, Access) and e == 1]
    return found if len(found) == len(term.factors) else None


def _is_activation(use: Use) -> bool:
    """A function of each entry alone that is not just a number times the entry."""
    if use.local is None or use.body is None or isinstance(use.local, Number):
        return False
    return _only(use.body, use.of) and use.stage.shape == use.derivation.graph.tensors[use.of].shape


def _only(body: Poly, name: str) -> bool:
    return all(a.tensor.name == name for a in accesses(body))


def _is_scalar(told: Explanation, name: str) -> bool:
    entry = next((e for e in told.derivation.lines if e.name == name), None)
    return entry is not None and entry.shape == ()


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
