"""The derivative of an elementwise function alone: ``sigmoid_prime(x)``, ``tanh.gradient(x)``."""

from __future__ import annotations

from gradtool.check.arguments import Names, call
from gradtool.check.bind import Binding
from gradtool.check.candidate import Candidate, is_derivative
from gradtool.check.inventory import Class, Function
from gradtool.check.words import DERIVATIVE_WORDS, split
from gradtool.records import replace


def derivative_only(candidate: Candidate, names: Names) -> list[Binding]:
    """``sigmoid_prime(x)``: times the upstream gradient; of the input, or of the output."""
    backward, forward = candidate.backward, candidate.forward
    if not is_derivative(candidate) or backward is None or len(names.outputs) != 1:
        return []
    (output,), real = names.outputs, names.real
    if len(real) != 1:
        return []
    called = call(forward, names, {}, [v.name for v in names.variables]) if forward else None
    line = f"{output} = {forward.name}({called.text})" if forward and called else None
    own = backward.params[0]
    of_input = Binding(
        f"{backward.name} is the derivative alone, times the upstream gradient",
        line,
        f"d{real[0]} = d{output} * {_with_own(backward, real[0], names, own)}",
    )
    of_output = replace(
        of_input,
        backward=f"d{real[0]} = d{output} * {_with_own(backward, output, names, own)}",
        remark=f"{backward.name} takes the output {output}, not the input {real[0]}",
    )
    return [of_input, of_output] if line else [of_input]


def method_alone(
    owner: Class, forward: Function, backward: Function, setup: str, line: str, names: Names
) -> list[Binding]:
    """A method that is given values and not an upstream gradient: of the input, of the output.

    It says so by its name, or by giving its parameter the name that the forward pass, which
    keeps nothing, has for its own.  `setup` makes the object, `line` calls its forward pass.
    """
    elementwise = len(names.real) == len(names.outputs) == 1 and not names.parameters
    same = backward.params[:1] == forward.params[:1] and not forward.sets
    named = bool(DERIVATIVE_WORDS & set(split(backward.name))) or same
    if not elementwise or not named or names.is_loss or len(backward.params[:2]) != 1:
        return []
    (output,), (variable,) = names.outputs, names.real
    how = f"the class {owner.name}, whose {backward.name} is the derivative alone"
    of_input, of_output = (
        Binding(
            f"{how}, times the upstream gradient",
            line,
            f"d{variable} = d{output} * layer.{backward.name}({given})",
            setup,
        )
        for given in (variable, output)
    )
    remark = f"{backward.name} takes the output {output}, not the input {variable}"
    return [of_input, replace(of_output, remark=remark)]


def _with_own(function: Function, argument: str, names: Names, own: str) -> str:
    return f"{function.name}({call(function, names, {own: argument}, []).text})"
