"""One call that returns the loss and its gradients: ``loss, dx = softmax_loss(x, y)``."""

from __future__ import annotations

from collections.abc import Sequence

from gradtool.check.arguments import (
    Call,
    Names,
    NoMatch,
    call,
    gradient_target,
    gradients_among,
    same,
)
from gradtool.check.bind import Binding
from gradtool.check.by_class import construction
from gradtool.check.candidate import Candidate, gives_loss
from gradtool.check.targets import OPEN, keys_of, order_note
from gradtool.check.words import is_the_gradient


def one_call(candidate: Candidate, names: Names) -> list[Binding]:
    """A function or a method; the gradients may be a dictionary."""
    function = candidate.forward
    if candidate.backward or not function or len(names.outputs) != 1:
        return []
    returned = next((r for r in function.returns if len(r) >= 2), None)
    if returned is None and gives_loss(function):
        returned = ("", "")  # what is in it shows when it is there
    if returned is None:
        return []
    setup, passed = construction(candidate.owner, names) if candidate.owner else ([], [])
    rest_of_inputs = [v.name for v in names.variables if v.name not in passed]
    called = call(function, names, {}, rest_of_inputs)
    called = Call(called.text, {**called.given, **{n: n for n in passed}}, called.guess)
    rest = returned[1:]
    functions = [name[:-2] for name in rest if name.endswith("()")]
    output = names.outputs[0]
    target = f"{output}, "
    title = f"{candidate.owner.name}.{function.name}" if candidate.owner else function.name
    source = f"{'layer.' if candidate.owner else ''}{function.name}({called.text})"
    lines: list[str]
    if len(rest) == 1 and (keys := keys_of(rest[0], function)):
        lines = [f"{target}grads = {source}"]
        own = (*called.given, *names.real)
        # What a layer returns beside its output may be kept for a backward pass.
        sure = [key for key in keys if names.is_loss or not same(key, own)]
        found = gradients_among(sure, called.given, names)
        offered = list(found)
        lines += (f'd{variable} = grads["{key}"]' for variable, key in found.items())
    else:
        offered = _offered(rest, called, names)
        assigned = ", ".join(f"d{n}" for n in offered)
        if not offered and len(rest) == 1 and not functions:  # what is in it shows when it is there
            offered, assigned = list(names.real), OPEN
        lines = [f"{target}{assigned} = {source}"]
    if not offered and functions:
        told = f"{title} returns {', '.join(functions)}"
        raise NoMatch(f"{told}: it is not clear which function is the backward pass")
    if not offered:
        raise NoMatch(f"{title}: which variables are its gradients of?")
    left = [n for n in names.real if n not in offered]
    remark = f"{title} offers no d{', no d'.join(left)}" if left else ""
    what = "the loss" if names.is_loss else "its output"
    convention = f"{title} returns {what} and its gradients" + order_note(called)
    # A parameter is owed its gradient, an input is not: nothing comes before it.
    order = tuple(n for n in names.real if n in offered or n in names.parameters)
    made = "\n".join(setup) or None
    return [
        Binding(
            convention,
            "\n".join(lines),
            setup=made,
            gradients=order,
            remark=remark,
            guess=called.guess,
            given=called.given,
        )
    ]


def _offered(rest: Sequence[str], called: Call, names: Names) -> list[str]:
    by_name = [gradient_target(name, called.given, names) for name in rest]
    if not names.is_loss:
        # What a layer returns beside its output may be kept for a backward pass.
        forward = (*called.given, *names.real)
        for word, variable in zip(rest, by_name, strict=True):
            said = is_the_gradient(word) or variable is not None
            if not said or same(word.removeprefix("self."), forward):
                return []
    if all(by_name) and len(set(by_name)) == len(by_name):
        return [name for name in by_name if name]
    parameters = [n for n in names.parameters if n in names.real]
    # Where even the arguments have no known names, the results come in the arguments' order.
    given = tuple(n for n in called.given.values() if n in names.real)
    own = [given] if called.guess is not None and len(given) == len(names.real) else []
    for group in (*own, names.real, parameters):
        if len(group) == len(rest):  # `grad` is that of the parameters, or of all there is
            return list(group)
    return []
