"""The derivative of an elementwise function alone: ``sigmoid_prime(x)``."""

from __future__ import annotations

from dataclasses import replace

from gradtool.check.arguments import Names, call
from gradtool.check.bind import Binding
from gradtool.check.candidate import Candidate, is_derivative
from gradtool.check.inventory import Function


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


def _with_own(function: Function, argument: str, names: Names, own: str) -> str:
    return f"{function.name}({call(function, names, {own: argument}, []).text})"
