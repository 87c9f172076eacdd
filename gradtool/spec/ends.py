"""The outputs of a forward block, and names that would be taken for gradients."""

from __future__ import annotations

from gradtool.ir.tree import Span
from gradtool.ops.build import Unreadable
from gradtool.records import replace
from gradtool.spec.lowering import Scope, problem_at, version
from gradtool.spec.suggest import did_you_mean


def outputs_of(scope: Scope) -> tuple[str, ...]:
    """The final tensors of the output names."""
    spec, build = scope.spec, scope.build
    names = spec.outputs or ((scope.last,) if scope.last else ())
    place = spec.outputs_place or spec.forward.places[0]
    if not names:
        if not scope.problems:
            scope.problems.append(
                spec.source.problem(
                    place,
                    "the forward block assigns nothing",
                    "write at least one line such as  Y = X @ W",
                )
            )
        return ()
    found: list[str] = []
    for name in names:
        operand = build.scope.get(name)
        if operand is None or any(v.name == name for v in spec.variables):
            if name not in scope.poisoned:
                scope.problems.append(
                    spec.source.problem(
                        place,
                        f"the output '{name}' is not assigned in forward",
                        did_you_mean(name, build.scope),
                        len(name),
                    )
                )
            continue
        if isinstance(operand, Unreadable):
            scope.problems.append(
                spec.source.problem(place, f"the output: {operand.why}", operand.hint, len(name))
            )
            continue
        if operand.kind == "bool" or operand.labels is not None:
            what = "conditions" if operand.kind == "bool" else "labels"
            scope.problems.append(
                spec.source.problem(
                    place,
                    f"the output '{name}' holds {what}, which have no gradient",
                    "a real array is expected",
                    len(name),
                )
            )
            continue
        tensor = operand.tensor
        if tensor is None:  # a number, or positions: it has had no statement of its own until now
            operand = replace(operand, kind="real", position=None)
            taken = any(statement.out.name == name for statement in build.statements)
            tensor = build.assign(version(scope, name) if taken else name, operand).tensor
        assert tensor is not None
        found.append(tensor.name)
    return tuple(found)


def refuse_cotangent_names(scope: Scope) -> None:
    """``dY`` beside ``Y`` would be taken for the gradient of Y."""
    names = {s.out.name for s in scope.build.statements if not s.hidden}
    every = names | {v.name for v in scope.spec.variables}
    for variable in scope.spec.variables:
        if variable.name.startswith("d") and variable.name[1:] in names:
            scope.problems.append(
                scope.spec.source.problem(
                    variable.place,
                    f"'{variable.name}' is the name of the gradient of '{variable.name[1:]}'",
                    "give it another name",
                    len(variable.name),
                )
            )
    for statement in scope.build.statements:
        name = statement.out.name
        if statement.hidden or not name.startswith("d") or name[1:] not in every:
            continue
        block = scope.spec.forward
        row = block.text.split("\n")[statement.line - 1]
        start = max(row.find(name), 0)
        scope.problems.append(
            problem_at(
                scope,
                block,
                Span(statement.line, start, start + len(name)),
                f"'{name}' is the name of the gradient of '{name[1:]}'",
                "give the value another name",
            )
        )
