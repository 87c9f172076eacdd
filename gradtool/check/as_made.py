"""Objects that decide the shape of their weights themselves, or make them in their first call.

A constructor may make its bias as a row ``(1, C)``, and a layer that is not told its input size
makes its weights when it sees an input, or is told its shape.  Then the spec's values are put in
afterwards, in the shape that is there.
"""

from __future__ import annotations

import ast

from gradtool.check.arguments import Names
from gradtool.check.bind import Binding
from gradtool.check.candidate import Candidate
from gradtool.check.inventory import Class
from gradtool.check.words import folded
from gradtool.ir import syntax
from gradtool.records import replace


def as_made(binding: Binding, names: Names) -> Binding | None:
    """The binding with vectors put in in the shape that the object made; None where it has none."""
    vectors = {v.name for v in names.variables if v.role == "parameter" and len(v.shape) == 1}
    statements = _statements(binding)
    shaped = []
    for statement in statements:
        match statement:
            case ast.Assign(targets=[target], value=ast.Name(id=name)) if (
                name in vectors and _attribute(target)
            ):
                place = ast.unparse(target)
                shaped.append(f"{place} = np.reshape({name}, np.shape({place}))")
            case _:
                shaped.append(ast.unparse(statement))
    if shaped == [ast.unparse(statement) for statement in statements]:
        return None
    return replace(
        binding,
        convention=f"{binding.convention}, {' and '.join(sorted(vectors))} in the shape it makes",
        setup="\n".join(shaped),
    )


def after_a_first_call(binding: Binding, candidate: Candidate) -> Binding | None:
    """The binding that calls the object once before it gets the weights; None where it makes them
    in its constructor or never.
    """
    owner, backward = candidate.owner, candidate.backward
    if owner is None or backward is None or binding.forward is None:
        return None
    later = {
        name.removeprefix("self.")
        for method in owner.methods
        if method.name not in ("__init__", backward.name)
        for name in (*method.sets, *method.keys)
    }
    lines: list[str] = []
    made = weights = False
    for statement in _statements(binding):
        match statement:
            case ast.Assign(targets=[ast.Name(id="layer")]):
                lines += [ast.unparse(statement), binding.forward]
                made = True
            case ast.Assign(targets=[target]) if _attribute(target) in later:
                lines.append(ast.unparse(statement))
                weights = True
            case _:
                lines.append(ast.unparse(statement))
    if not (made and weights):
        return None
    how = f"{binding.convention}, weights set after a first call"
    return replace(binding, convention=how, setup="\n".join(lines))


def builds(owner: Class, names: Names) -> list[list[str]]:
    """The lines that tell an object the shape of its input, where a method asks for that.

    It may want the shape with the samples, or without.
    """
    inputs = [v.name for v in names.variables if v.role == "input" and v.shape]
    asked = [
        m.name
        for m in owner.methods
        if not m.name.startswith("_")
        and len(m.params) == m.required == 1
        and folded(m.params[0]).endswith("shape")
        and (m.sets or m.keys)
    ]
    if not asked or not inputs:
        return [[]]
    shape = f"np.shape({inputs[0]})"
    return [[f"layer.{name}({given})" for name in asked] for given in (shape, f"{shape}[1:]")]


def _statements(binding: Binding) -> list[ast.stmt]:
    return syntax.parse(binding.setup or "").body


def _attribute(target: ast.expr) -> str:
    """The attribute of the object that an assignment fills: ``params`` in ``layer.params["b"]``."""
    match target:
        case ast.Attribute(value=ast.Name(id="layer"), attr=name):
            return name
        case ast.Subscript(value=ast.Attribute(value=ast.Name(id="layer"), attr=name)):
            return name
    return ""
