"""All parameters in one flat vector: ``cost, grad = f(theta, X, y)``."""

from __future__ import annotations

from gradtool.check.arguments import Names, NoMatch, call
from gradtool.check.bind import Binding
from gradtool.check.candidate import Candidate
from gradtool.records import replace


def flat_vector(candidate: Candidate, names: Names) -> list[Binding]:
    """A function of the packed parameters that returns the loss and its packed gradient.

    The parameters are packed in the order of the spec; that the forward then gives the layer's
    numbers shows whether the code has the same.
    """
    function = candidate.forward
    parameters = [v for v in names.variables if v.role == "parameter" and v.differentiable]
    if candidate.backward or candidate.owner or not function or len(names.outputs) != 1:
        return []
    if len(parameters) < 2 or not any(len(r) == 2 for r in function.returns):
        return []
    packed = {v.name for v in parameters}
    others = replace(names, variables=tuple(v for v in names.variables if v.name not in packed))
    found = []
    for place, parameter in enumerate(function.needed):
        try:
            called = call(
                function, others, {parameter: "packed"}, [v.name for v in others.variables]
            )
        except NoMatch:
            continue
        if parameter in called.given or (called.guess and place):
            continue
        found.append(_binding(function.name, called.text, [v.name for v in parameters], names))
    return found[:1]


def _binding(function: str, arguments: str, packed: list[str], names: Names) -> Binding:
    lines = [
        f"packed = np.concatenate([{', '.join(f'np.ravel({n})' for n in packed)}])",
        f"{names.outputs[0]}, packed_gradient = {function}({arguments})",
        "parts = np.split(np.ravel(packed_gradient), "
        f"np.cumsum([{', '.join(f'np.size({n})' for n in packed[:-1])}]))",
        *(f"d{n} = parts[{k}].reshape(np.shape({n}))" for k, n in enumerate(packed)),
    ]
    convention = f"{function} takes one flat vector of {', '.join(packed)} and returns the loss"
    order = tuple(n for n in names.real if n in packed)
    return Binding(
        f"{convention} with a flat gradient",
        "\n".join(lines),
        gradients=order,
    )
