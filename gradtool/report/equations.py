"""The four fundamental equations of backpropagation, where a network has their structure.

Source: M. Nielsen, "Neural Networks and Deep Learning", chapter 2 (2015).  A layer is recognised
by what it computes (a product of a parameter with a value, plus a parameter, then a function of
each entry alone), never by a name.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradtool.derive.derivation import Derivation
from gradtool.derive.explain import Explanation, Stage, Use
from gradtool.derive.reveal import expanded
from gradtool.emit.subscripts import subscripts
from gradtool.emit.text import line, operand, text
from gradtool.ir.graph import Statement
from gradtool.ir.poly import Access, Poly, Term
from gradtool.ir.tree import Call, Number, names
from gradtool.ir.walk import accesses
from gradtool.records import Struct
from gradtool.report.sections import Piece, formula, say
from gradtool.spec.model import LayerSpec


class Layer(Struct, frozen=True):
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
    by_operand = {layer.operand: layer for layer in network}
    yield say(
        "The network has the structure of affine layers and activations, so its steps are "
        "the four equations that every such network shares (M. Nielsen 2015). The error of "
        "a layer is the gradient at its affine stage, "
        f"here {_listed([f'd{layer.affine}' for layer in network])}."
    )
    scalar = subscripts(derivation)
    closed = {entry.name: entry for entry in derivation.lines}
    groups: list[dict[str, str]] = [{}, {}, {}, {}]  # vector form -> scalar form
    for layer in reversed(network):
        vector, used = _error(told, layer)
        error = closed.get(f"d{layer.affine}")
        # The closed form may go another way than these steps: then it is no reading of them.
        same = error is not None and error.shape and names(error.tree) <= used
        subscript = scalar[f"d{layer.affine}"] if same else ""
        groups[layer.activation in by_operand][vector] = subscript
        for place, name in ((2, layer.bias), (3, layer.weights)):
            entry = closed.get(f"d{name}")
            if entry is not None and entry.role == "gradient":
                subscript = scalar[entry.name] if entry.shape else ""
                groups[place][line(entry.name, entry.tree)] = subscript
    for head, group in zip(_HEADS, groups, strict=True):
        if group:
            yield Piece("head", head)
        for vector, subscript in group.items():
            yield formula(vector)
            if subscript:
                yield formula(f"    {subscript}")


_HEADS = (
    "BP1, the error of the output layer:",
    "BP2, the error of the layer before:",
    "BP3, the gradient of a bias is the error:",
    "BP4, the gradient of a weight is the value going in times the error coming out:",
)


def _error(told: Explanation, layer: Layer) -> tuple[str, frozenset[str]]:
    """The error of a layer in vector form, and the names in it."""
    step = told.step_of.get(layer.affine)
    if step is None or not step.lines:
        given = f"d{layer.affine} is given, since the last layer has no activation"
        return given, frozenset()
    total = step.lines[-1]
    before = told.step_of.get(layer.activation)
    if not layer.activation or before is None or len(before.uses) != 1 or not before.lines:
        return line(total.name, total.tree), names(total.tree)
    (use,) = step.uses
    assert use.local is not None
    inner = before.uses[0].tree
    slope = text(use.local)
    if not (isinstance(use.local, Call) and use.local.op == "mul"):
        slope = operand(use.local)
    shown = f"{step.name} = ({text(inner)}) * {slope}"
    return shown, names(inner) | names(use.local)


def _affine(told: Explanation, stage: Stage, parameters: set[str]) -> tuple[str, str, str] | None:
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


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
