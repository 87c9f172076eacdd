"""A backward pass that is a function which another one returns: beside its output, or alone.

``Y, backprop = affine(X, W, b)`` has the closure take what the forward pass has computed from
around it; ``affine_vjp(X, W, b)(dY)`` is a backward pass in two calls.
"""

from __future__ import annotations

from collections.abc import Mapping

from gradtool.check.arguments import Call, Names, NoMatch, call, same
from gradtool.check.bind import Binding
from gradtool.check.by_pair import Results, backward_call, results_of
from gradtool.check.candidate import Candidate, made_by
from gradtool.check.inventory import Function
from gradtool.check.targets import (
    gradient_lines,
    keys_of,
    order_note,
    together,
    upstream_arguments,
)
from gradtool.check.words import RESULTS, folded, is_upstream
from gradtool.records import replace

_OWN = frozenset({"np", "module", "cell", "step", "mask_in", "layer", "cache", "kept", "grads"})


def returned_closure(candidate: Candidate, names: Names) -> list[Binding]:
    """A function that returns its backward pass beside its output."""
    forward = candidate.forward
    if candidate.owner or forward is None or candidate.closure is None:
        return []
    if not names.real:
        raise NoMatch(f"{forward.name}: none of what it takes has a gradient")
    called = call(forward, names, {}, [v.name for v in names.variables if not v.read])
    backward, results = closing(candidate, called, names)
    upstream = upstream_for(backward, results, called, names)
    first = results.lines(f"{forward.name}({called.text})")
    how = f"{forward.name} returns its backward pass {backward.name}" + order_note(called)

    def reading(text: str, offered: tuple[str, ...] | None = None, remark: str = "") -> Binding:
        given = called.given
        return Binding(
            how, first, text, gradients=offered, remark=remark, guess=called.guess, given=given
        )

    def given(upstream: Mapping[str, str]) -> Binding:
        return reading(*backward_call(backward, called, {**results.kept, **upstream}, names))

    if not upstream and not names.is_loss:
        return [reading(slope(backward.name, names, forward))]
    found = [given(upstream), *map(given, filter(None, [together(upstream, names)]))]
    if names.is_loss and upstream and not backward.required:
        found.append(given({}).remarked(not_used(upstream)))
    return found


def slope(source: str, names: Names, forward: Function) -> str:
    """The line for a function without an upstream gradient: it is the derivative alone.

    Raises:
        NoMatch: that cannot be, as the layer is not elementwise.
    """
    if len(names.real) == len(names.outputs) == 1 and not names.parameters:
        return f"d{names.real[0]} = d{names.outputs[0]} * {source}()"
    raise NoMatch(f"{forward.name} returns {source}, which takes no upstream gradient")


def not_used(upstream: Mapping[str, str]) -> str:
    """The remark on a loss whose upstream gradient is left at its default."""
    return f"{next(iter(upstream))} is not used: the gradient is that of the loss itself"


def closing(candidate: Candidate, called: Call, names: Names) -> tuple[Function, Results]:
    """The backward pass that a forward returns, under a name that no value of the snippets has,
    and how the forward's results are taken apart.

    Raises:
        NoMatch: the place of the function among them cannot be told.
    """
    forward, backward, place = candidate.forward, candidate.backward, candidate.closure
    assert forward is not None
    assert backward is not None
    assert place is not None
    backward = apart(backward, names)
    returned, outputs = forward.returns[0], names.outputs
    if len(returned) > len(outputs) or (len(returned) == 1 and keys_of(returned[0], forward)):
        results = results_of(forward, backward, called, names)
    elif len(returned) == 1 < len(outputs):
        results = Results((f"({', '.join(outputs)})",), {})
    else:
        results = Results(tuple(outputs), {})
    if isinstance(place, str):
        return backward, replace(results, parts={**results.parts, backward.name: place})
    targets = list(results.targets)
    if place < len(returned) and any(target.startswith("*") for target in targets[:place]):
        raise NoMatch(f"{forward.name}: which of its results is {backward.name}?")
    targets.insert(place if place < len(returned) else len(targets), backward.name)
    return backward, replace(results, targets=tuple(targets))


def apart(backward: Function, names: Names) -> Function:
    """A closure under a name that nothing else has in the snippets.

    What it has by default stays so, but for upstream gradients: nobody gives ``X`` to
    ``def backward(dY, X=X)``, by which it keeps what the forward pass has.
    """
    kept = tuple(
        p
        for place, p in enumerate(backward.params)
        if place == 0
        or p in backward.needed
        or is_upstream(p)
        or (p[0] in "dD" and same(p[1:], names.outputs))
    )
    backward = replace(backward, params=kept, named=tuple(p for p in backward.named if p in kept))
    variables = (*names.outputs, *(v.name for v in names.variables))
    taken = {*variables, *(f"d{n}" for n in variables), *names.numbers, *_OWN}
    name = backward.name
    while name in taken:
        name += "_"
    return replace(backward, name=name)


def upstream_for(backward: Function, kept: Results, called: Call, names: Names) -> dict[str, str]:
    """The upstream argument of a closure, which is given hardly anything else."""
    found = upstream_arguments(backward, kept.kept, called, names)
    free = [p for p in backward.params if p not in kept.kept]
    if found or not free or len(names.outputs) != 1:
        return found
    return {free[0]: f"d{names.outputs[0]}"}


def in_two_calls(candidate: Candidate, names: Names) -> list[Binding]:
    """A function that returns the backward pass alone: for the inputs, and what was computed."""
    forward, maker = candidate.forward, candidate.backward
    made = made_by(maker) if maker and not candidate.owner and candidate.closure is None else None
    if maker is None or made is None:
        return []
    made = apart(made, names)
    every = [v.name for v in names.variables if not v.read]
    called = call(forward, names, {}, every) if forward else call(maker, names, {}, every)
    if forward is None:
        first, arguments = None, called.text
    else:
        results = results_of(forward, maker, called, names)
        first = results.lines(f"{forward.name}({called.text})")
        arguments = _arguments(maker, results, called, names)
    upstream = upstream_for(made, Results((), {}), called, names)
    given = call(made, names, upstream, [])
    text, offered = gradient_lines(made, f"{made.name}({given.text})", called, names)
    return [
        Binding(
            f"{maker.name} returns the backward pass" + order_note(called),
            first,
            f"{made.name} = {maker.name}({arguments})\n{text}",
            gradients=offered,
            guess=called.guess,
            given=called.given,
        )
    ]


def _arguments(maker: Function, results: Results, called: Call, names: Names) -> str:
    """What a function takes that makes a backward pass: inputs, the output, what is kept."""
    fixed = dict(results.kept)
    for parameter in (p for p in maker.params if p not in fixed):
        output = same(parameter, names.outputs)
        if parameter in called.given:
            fixed[parameter] = called.given[parameter]
        elif output or (folded(parameter) in _ANSWERS and len(names.outputs) == 1):
            fixed[parameter] = output or names.outputs[0]
    variables = [v.name for v in names.variables]
    left = [p for p in maker.needed if p not in fixed]
    fixed |= {p: match for p in left if (match := same(p, variables))}
    return call(maker, names, fixed, []).text


_ANSWERS = RESULTS | {"ans", "answer"}
