"""Two functions: ``f_forward(...) -> (out, cache)`` and ``f_backward(dout, cache)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradtool.check.arguments import Call, Names, NoMatch, call, gradient_target, same
from gradtool.check.bind import Binding
from gradtool.check.candidate import Candidate, is_derivative, made_by
from gradtool.check.guesses import guesses_for, unsure_readings
from gradtool.check.inventory import Function
from gradtool.check.targets import (
    gradient_lines,
    keys_of,
    order_note,
    together,
    upstream_arguments,
)
from gradtool.check.words import RESULTS, folded, is_cache, is_upstream
from gradtool.records import Struct, field, replace


def pair_of_functions(candidate: Candidate, names: Names) -> list[Binding]:
    """Two functions, with a cache between them or with the inputs given again."""
    forward, backward = candidate.forward, candidate.backward
    if candidate.owner or not forward or not backward or is_derivative(candidate):
        return []
    if candidate.closure is not None or made_by(backward) is not None:
        return []
    called = call(forward, names, {}, [v.name for v in names.variables if not v.read])
    results = results_of(forward, backward, called, names)
    kept = results.kept
    upstream = upstream_arguments(backward, kept, called, names)
    lines = results.lines(f"{forward.name}({called.text})")
    how = "with a cache" if kept else "with the inputs given again"

    def with_arguments(given: Mapping[str, str]) -> Binding:
        text, offered, remark = backward_call(backward, called, {**kept, **given}, names)
        return Binding(
            f"{forward.name} and {backward.name}, {how}" + order_note(called),
            lines,
            text,
            gradients=offered,
            remark=remark,
            guess=called.guess,
            given=called.given,
        )

    guesses = guesses_for(backward, upstream, called, results.left, names)
    if not guesses:
        ways = [upstream, *filter(None, [together(upstream, names)])]
        return [with_arguments(given) for given in ways]
    others = [(told, with_arguments(guess)) for told, guess in guesses]
    upstream_too = ("the upstream gradient", with_arguments(upstream))
    return unsure_readings(backward, [*others, upstream_too])


class Results(Struct, frozen=True):
    """What a forward pass returns, taken apart.

    Attributes:
        targets: of the parts by place, or the one name of a dictionary.
        parts: what is read of that by its keys.
        kept: what each argument of the backward pass takes that is among it.
        left: the names of what is no output.
    """

    targets: tuple[str, ...]
    kept: Mapping[str, str]
    left: tuple[str, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)

    def lines(self, source: str) -> str:
        """The statements that take apart what a call returns."""
        whole = self.targets[0]
        more = (f'{name} = {whole}["{key}"]' for name, key in self.parts.items())
        return "\n".join((f"{', '.join(self.targets)} = {source}", *more))


def results_of(forward: Function, backward: Function, called: Call, names: Names) -> Results:
    """How the results of a forward pass are taken apart, and what the backward pass gets of them.

    Raises:
        NoMatch: a dictionary has no key that is the output's.
    """
    outputs = list(names.outputs)
    returned = list(forward.returns[0]) if forward.returns else []
    if len(returned) == 1 and (keys := keys_of(returned[0], forward)):
        return _by_key(keys, forward, backward, names)
    caches = [p for p in backward.params if is_cache(p)]
    extra = returned[len(outputs) :]
    if len(returned) <= 1 and len(outputs) == 1 and (caches or is_cache(backward.rest)):
        extra = [""]  # a tuple under one name
    if not extra:
        return Results(tuple(outputs), {})
    if backward.rest and not caches and backward.required == 1:
        return _one_by_one(outputs, extra, backward)
    # A loss's labels are given again.
    again = [p for p in backward.params if p in called.given and called.given[p] not in names.real]
    if len(extra) == 1 and not caches and not again and len(backward.params) == 2:
        # The two are the upstream gradient and the cache; mostly in this order.
        first, second = backward.params
        caches = [first if is_upstream(second) and not is_upstream(first) else second]
    elif len(extra) == 1 and not caches and not again and len(outputs) + 1 == backward.required:
        others = [p for p in backward.needed if p[:1] != "d" and not is_upstream(p)]
        caches = others if len(others) == 1 else []
    if len(caches) == 1:
        if len(extra) == 1:
            return Results((*outputs, "cache"), {caches[0]: "cache"}, ("cache",))
        return Results((*outputs, "*cache"), {caches[0]: "cache"})
    targets, kept = list(outputs), {}
    for place, name in enumerate(extra):
        plain = name.removeprefix("self.")
        plain = plain if plain.isidentifier() else ""
        target = f"kept_{plain or place}"
        targets.append(target)
        match = same(plain, backward.params) if plain else None
        if match:
            kept[match] = target
    return Results(tuple(targets), kept, tuple(targets[len(outputs) :]))


def _one_by_one(outputs: Sequence[str], extra: Sequence[str], backward: Function) -> Results:
    """What ``backward(dout, *cache)`` is given, in however many things it was kept."""
    several = len(extra) > 1
    plain = several or extra[0].startswith("[")
    given = "*cache" if plain else "*(cache if isinstance(cache, (tuple, list)) else [cache])"
    target = "*cache" if several else "cache"
    return Results((*outputs, target), {f"*{backward.rest}": given}, ("cache",))


def _by_key(keys: Sequence[str], forward: Function, backward: Function, names: Names) -> Results:
    """The results of a forward pass that returns a dictionary: ``{"out": Y, "cache": cache}``.

    A cache that has no key of its own is the dictionary.
    """
    plain = [key for key in keys if key.isidentifier()]
    parts: dict[str, str] = {}
    for name in names.outputs:
        if key := same(name, [key for key in plain if not is_cache(key)]):
            parts[name] = key
    free = [key for key in plain if key not in parts.values() and not is_cache(key)]
    missing = [name for name in names.outputs if name not in parts]
    if len(missing) == 1:
        # What the backward pass takes back is rather a value of the way there.
        called_so = [key for key in free if folded(key) in RESULTS]
        others = [key for key in free if same(key, backward.params) is None]
        (key,) = next((found for found in (called_so, others, free) if len(found) == 1), ("",))
        parts |= {missing[0]: key} if key else {}
    if any(name not in parts for name in names.outputs):
        raise NoMatch(f"{forward.name}: which of {', '.join(keys)} is {' and '.join(missing)}?")
    kept: dict[str, str] = {}
    for parameter in backward.params:
        own = same(parameter, plain) or next(
            (key for key in plain if is_cache(key) and is_cache(parameter)), None
        )
        if own is not None and own not in parts.values() and not is_upstream(parameter):
            kept[parameter] = f"kept_{own}"
            parts[kept[parameter]] = own
        elif is_cache(parameter):
            kept[parameter] = "kept"
    return Results(("kept",), kept, tuple(n for n in parts if n not in names.outputs), parts)


def backward_call(
    backward: Function, called: Call, given: Mapping[str, str], names: Names
) -> tuple[str, tuple[str, ...] | None, str]:
    """The lines that call a backward pass with what is known of its arguments, the gradients that
    it offers, and a remark."""
    fixed = dict(given)
    # What it takes beside upstream and cache: some of the inputs, by the forward's own names.
    for parameter in backward.params:
        if parameter not in fixed and parameter in called.given:
            fixed[parameter] = called.given[parameter]
        elif parameter not in fixed and (out := same(parameter, names.outputs)):
            fixed[parameter] = out
    buffers: dict[str, str] = {}
    for parameter in backward.params:
        if parameter not in fixed and (of := _buffer_of(parameter, called, names)):
            buffers[of] = parameter
            fixed[parameter] = f"buffer_{of}"
    rest = [p for p in backward.needed if p not in fixed]
    matched = {p: m for p in rest if (m := same(p, [v.name for v in names.variables]))}
    inputs = set(called.given.values())
    for parameter, variable in matched.items():
        others = [p for p, text in fixed.items() if text == variable and variable in inputs]
        if others:
            twice = f"{others[0]} and {parameter} would both be {variable}"
            raise NoMatch(f"{backward.name}: {twice}")
    arguments = call(backward, names, {**fixed, **matched}, [])
    source = f"{backward.name}({arguments.text})"
    if not buffers:
        return (*gradient_lines(backward, source, called, names), "")
    made = [f"buffer_{n} = np.zeros({n}.shape)" for n in buffers]
    left = replace(names, variables=tuple(v for v in names.variables if v.name not in buffers))
    returned = backward.returns and left.real
    text = gradient_lines(backward, source, called, left)[0] if returned else source
    return "\n".join([*made, text, *(f"d{n} = buffer_{n}" for n in buffers)]), None, ""


def _buffer_of(parameter: str, called: Call, names: Names) -> str | None:
    """The variable whose gradient is added to an array that is given as this parameter."""
    if parameter in called.given or is_cache(parameter):
        return None
    variable = gradient_target(parameter, called.given, names)
    # A gradient's own name, not that of the variable: `dW`, not `W`.
    return variable if variable and same(parameter, [variable]) is None else None
