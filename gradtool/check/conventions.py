"""The calling conventions of real code, most frequent first: each from functions to snippets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from gradtool.check.arguments import Call, Names, NoMatch, call, gradient_target, same, sizes_for
from gradtool.check.bind import Binding
from gradtool.check.inventory import Class, Function
from gradtool.check.words import DERIVATIVE_WORDS, is_cache, is_upstream, of_gradient, split


@dataclass(frozen=True, slots=True)
class Candidate:
    """A forward with its backward; one function that does both; or a class with methods."""

    forward: Function | None
    backward: Function | None
    owner: Class | None = None

    @property
    def title(self) -> str:
        if self.owner:
            return self.owner.name
        return " / ".join(f.name for f in (self.forward, self.backward) if f)

    @property
    def names(self) -> tuple[str, ...]:
        own = [self.owner.name] if self.owner else []
        return tuple([*own, *(f.name for f in (self.forward, self.backward) if f)])


def bindings(candidate: Candidate, names: Names) -> tuple[Binding, ...]:
    """Every reading of a candidate, likeliest first.

    Raises:
        NoMatch: there is none, and why.
    """
    found: list[Binding] = []
    reasons: list[str] = []
    for convention in CONVENTIONS:
        try:
            found += convention(candidate, names)
        except NoMatch as reason:
            reasons.append(str(reason))
    if not found:
        raise NoMatch("; ".join(dict.fromkeys(reasons)) or "its calling convention is unknown")
    return tuple(found)


# -- f_forward(...) -> (out, cache) and f_backward(dout, cache) -----------------------------


def pair_of_functions(candidate: Candidate, names: Names) -> list[Binding]:
    """Two functions, with a cache between them or with the inputs given again."""
    forward, backward = candidate.forward, candidate.backward
    if candidate.owner or not forward or not backward or _is_derivative(candidate):
        return []
    called = call(forward, names, {}, [v.name for v in names.variables if not v.read])
    targets, kept = _results(forward, backward, names)
    text, offered, remark = _backward_call(backward, called, kept, names)
    lines = [f"{', '.join(targets)} = {forward.name}({called.text})"]
    how = "with a cache" if kept else "with the inputs given again"
    return [
        Binding(
            f"{forward.name} and {backward.name}, {how}" + _order(called),
            "\n".join(lines),
            text,
            gradients=offered,
            remark=remark,
        )
    ]


def _results(
    forward: Function, backward: Function, names: Names
) -> tuple[list[str], dict[str, str]]:
    """The targets of the forward's results, and what each argument of the backward takes.

    The second maps the backward's cache-like parameters to a target.
    """
    outputs = list(names.outputs)
    returned = list(forward.returns[0]) if forward.returns else []
    caches = [p for p in backward.params if is_cache(p)]
    extra = returned[len(outputs) :]
    if len(returned) <= 1 and len(outputs) == 1 and caches:
        extra = [""]  # a tuple under one name
    if not extra:
        return outputs, {}
    if len(caches) == 1:
        if len(extra) == 1:
            return [*outputs, "cache"], {caches[0]: "cache"}
        return [*outputs, "*cache"], {caches[0]: "cache"}
    targets, kept = list(outputs), {}
    for place, name in enumerate(extra):
        plain = name.rpartition(".")[2]
        target = f"kept_{plain or place}"
        targets.append(target)
        match = same(plain, backward.params) if plain else None
        if match:
            kept[match] = target
    if len(extra) == 1 and not kept:
        free = [p for p in backward.params if not is_upstream(p)]
        if len(free) == 1:
            kept[free[0]] = targets[-1]
    return targets, kept


def _backward_call(
    backward: Function, called: Call, kept: Mapping[str, str], names: Names, owner: str = ""
) -> tuple[str, tuple[str, ...] | None, str]:
    fixed = {**kept, **_upstream(backward, kept, called, names)}
    # What it takes beside upstream and cache: some of the inputs, by the forward's own names.
    for parameter in backward.params:
        if parameter not in fixed and parameter in called.given:
            fixed[parameter] = called.given[parameter]
        elif parameter not in fixed and (out := same(parameter, names.outputs)):
            fixed[parameter] = out
    rest = [p for p in backward.params[: backward.required] if p not in fixed]
    matched = {p: m for p in rest if (m := same(p, [v.name for v in names.variables]))}
    arguments = call(backward, names, {**fixed, **matched}, [])
    source = f"{owner}{backward.name}({arguments.text})"
    return (*_gradients(backward, source, called, names), "")


def _upstream(
    backward: Function, kept: Mapping[str, str], called: Call, names: Names
) -> dict[str, str]:
    taken = [p for p in backward.params if p not in kept]
    found = [p for p in taken if is_upstream(p) or p in {f"d{o}" for o in names.outputs}]
    found = [p for p in found if p not in called.given] or found
    if not found and taken and taken[0] not in called.given and kept:
        found = taken[:1]
    if len(names.outputs) == 1:
        return {found[0]: f"d{names.outputs[0]}"} if found else {}
    return {p: f"d{o}" for p, o in zip(found, names.outputs, strict=False)}


def _gradients(
    function: Function, source: str, called: Call, names: Names
) -> tuple[str, tuple[str, ...] | None]:
    """The statements that assign every ``d<name>`` from a call, and what is offered."""
    returned = function.returns[0] if function.returns else ("",)
    if len(returned) == 1 and not returned[0].startswith("{"):
        one = gradient_target(returned[0], called.given, names) if returned[0] else None
        if one is None and not function.keys.get(returned[0]):
            returned = ("",) * len(names.real)  # a tuple under another name
    if len(returned) == 1 and (keys := _keys_of(returned[0], function)):
        lines = [f"grads = {source}"]
        for key in keys:
            variable = gradient_target(key, called.given, names)
            if variable:
                lines.append(f'd{variable} = grads["{key}"]')
        return "\n".join(lines), None
    targets = gradient_targets(returned, called, names)
    return f"{', '.join(targets)} = {source}", None


def gradient_targets(returned: Sequence[str], called: Call, names: Names) -> list[str]:
    """A target for each returned value: by its name, otherwise by order.

    Raises:
        NoMatch: neither tells which gradient is which.
    """
    found: list[str | None] = []
    for name in returned:
        taken = [n for n in found if n]
        found.append(gradient_target(name, called.given, names, taken) if name else None)
    if None in found:
        order = [v for v in called.given.values() if v in names.real]
        order += [v for v in names.real if v not in order]
        free = [v for v in order if v not in found]
        unknown = found.count(None)
        anonymous = sum(1 for name in returned if not name)
        if unknown != len(free) and (anonymous or unknown == len(found)):
            listed = ", ".join(name or "?" for name in returned)
            raise NoMatch(f"which of the results ({listed}) is the gradient of which variable?")
        if unknown == len(free):
            remaining = iter(free)
            found = [n if n else next(remaining) for n in found]
    return [f"d{n}" if n else "_" for n in found]


def _keys_of(name: str, function: Function) -> tuple[str, ...]:
    if name.startswith("{") and name != "{}":
        return tuple(name.strip("{}").split(","))
    return tuple(function.keys.get(name, ()))


# -- one call that returns the loss and its gradients ---------------------------------------


def one_call(candidate: Candidate, names: Names) -> list[Binding]:
    """``loss, dx = softmax_loss(x, y)``; gradients also as a dictionary."""
    function = candidate.forward
    if candidate.owner or candidate.backward or not function or len(names.outputs) != 1:
        return []
    returned = next((r for r in function.returns if len(r) >= 2), None)
    if returned is None:
        return []
    called = call(function, names, {}, [v.name for v in names.variables])
    rest = returned[1:]
    output = names.outputs[0]
    target = f"{output}, "
    source = f"{function.name}({called.text})"
    lines: list[str]
    if len(rest) == 1 and (keys := _keys_of(rest[0], function)):
        lines = [f"{target}grads = {source}"]
        offered = []
        for key in keys:
            variable = gradient_target(key, called.given, names)
            if variable:
                offered.append(variable)
                lines.append(f'd{variable} = grads["{key}"]')
    else:
        offered = _offered(rest, called, names)
        lines = [f"{target}{', '.join(f'd{n}' for n in offered)} = {source}"]
    if not offered:
        raise NoMatch(f"{function.name}: which variables are its gradients of?")
    left = [n for n in names.real if n not in offered]
    remark = f"{function.name} offers no d{', no d'.join(left)}" if left else ""
    convention = f"{function.name} returns the loss and its gradients" + _order(called)
    order = tuple(n for n in names.real if n in offered)
    return [Binding(convention, "\n".join(lines), gradients=order, remark=remark)]


def _offered(rest: Sequence[str], called: Call, names: Names) -> list[str]:
    by_name = [gradient_target(name, called.given, names) for name in rest]
    if all(by_name) and len(set(by_name)) == len(by_name):
        return [name for name in by_name if name]
    parameters = [n for n in names.parameters if n in names.real]
    for group in (names.real, parameters):
        if len(group) == len(rest):  # `grad` is that of the parameters, or of all there is
            return list(group)
    return []


# -- a class with forward and backward ------------------------------------------------------

_FORWARDS = ("forward", "__call__", "fprop", "forward_pass", "feedforward", "loss", "compute")
_BACKWARDS = ("backward", "backprop", "bprop", "backward_pass", "grad", "gradient", "backprop_pass")


def class_with_methods(candidate: Candidate, names: Names) -> list[Binding]:
    """An object: parameters by its constructor or as attributes, gradients returned or stored."""
    owner = candidate.owner
    forward, backward = candidate.forward, candidate.backward
    if not owner or not forward or not backward:
        return []
    setup, passed = _construction(owner, names)
    rest = [v.name for v in names.variables if v.name not in passed and not v.read]
    called = call(forward, names, {}, rest)
    method = "" if forward.name == "__call__" else f".{forward.name}"
    output = ", ".join(names.outputs)
    result = forward.returns[0] if forward.returns else ()
    target = f"{output}, _" if len(result) == len(names.outputs) + 1 else output
    upstream = _upstream(backward, {}, called, names)
    if not upstream and backward.required and len(names.outputs) == 1:
        upstream = {backward.params[0]: f"d{names.outputs[0]}"}
    again = {p: called.given[p] for p in backward.params if p in called.given and p not in upstream}
    arguments = call(backward, names, {**upstream, **again}, [])
    given = Call("", {**{n: n for n in passed}, **called.given}, called.by_order)
    lines = _class_gradients(
        owner, backward, f"layer.{backward.name}({arguments.text})", given, names
    )
    return [
        Binding(
            f"the class {owner.name}" + _order(called),
            f"{target} = layer{method}({called.text})",
            "\n".join(lines),
            "\n".join(setup),
        )
    ]


def _construction(owner: Class, names: Names) -> tuple[list[str], list[str]]:
    """The lines that make the object, and the variables that it got by them."""
    init = owner.method("__init__")
    texts: dict[str, str] = {}
    passed: list[str] = []
    for parameter in init.params if init else ():
        if match := same(parameter, [n for n in names.parameters if n not in passed]):
            texts[parameter] = match
            passed.append(match)
        elif number := sizes_for(parameter, names) or same(parameter, names.numbers):
            texts[parameter] = number
    if init:
        missing = [p for p in init.params[: init.required] if p not in texts]
        weights = next((v for v in names.variables if v.role == "parameter"), None)
        if missing and weights and len(missing) == len(weights.shape) and not passed:
            texts |= {p: str(d) for p, d in zip(missing, weights.shape, strict=True)}
            missing = []
        if missing:
            raise NoMatch(f"{owner.name}: nothing in the spec is called {', '.join(missing)}")
    arguments = ", ".join(f"{p}={texts[p]}" for p in (init.params if init else ()) if p in texts)
    lines = [f"layer = {owner.name}({arguments})"]
    attributes = list(dict.fromkeys(a for m in owner.methods for a in m.sets))
    keyed = {name: keys for m in owner.methods for name, keys in m.keys.items()}
    for name in names.parameters:
        if name in passed:
            continue
        for store, keys in keyed.items():
            key = same(name, keys)
            if key and store.startswith("self.") and "grad" not in store:
                lines.append(f'layer.{store[5:]}["{key}"] = {name}')
                passed.append(name)
                break
        else:
            if attribute := same(name, attributes):
                lines.append(f"layer.{attribute} = {name}")
                passed.append(name)
    return lines, passed


def _class_gradients(
    owner: Class, backward: Function, source: str, given: Call, names: Names
) -> list[str]:
    returned = backward.returns[0] if backward.returns else ()
    real = list(names.real)
    parameters = [n for n in real if n in names.parameters]
    inputs = [n for n in real if n not in parameters]
    lines: list[str] = []
    found: list[str] = []
    if not returned:
        lines.append(source)
    elif len(returned) == 1 and not _keys_of(returned[0], backward):
        # One result is the gradient of the input, whatever it is called; the parameters' lie in
        # the object.
        variable = inputs[0] if inputs else gradient_target(returned[0], given.given, names)
        if variable is None:
            raise NoMatch(f"{owner.name}.{backward.name}: which gradient does it return?")
        lines.append(f"d{variable} = {source}")
        found.append(variable)
    else:
        text, _ = _gradients(backward, source, given, names)
        lines += text.splitlines()
        found = [n for n in real if f"d{n}" in text.replace("[", " ")]
    lines += _stored(owner, [n for n in real if n not in found])
    return lines


def _stored(owner: Class, wanted: Sequence[str]) -> list[str]:
    """Lines that read gradients which the backward left in the object."""
    attributes = list(dict.fromkeys(a for m in owner.methods for a in m.sets))
    keyed = {n: k for m in owner.methods for n, k in m.keys.items() if n.startswith("self.")}
    lines: list[str] = []
    for name in wanted:
        stored = next((a for a in attributes if _is_gradient_of(a, name)), None)
        if stored:
            lines.append(f"d{name} = layer.{stored}")
            continue
        for store, keys in keyed.items():
            key = next((k for k in keys if _is_gradient_of(k, name)), None)
            if key is None and "grad" in store.lower():
                key = same(name, keys)
            if key:
                lines.append(f'd{name} = layer.{store[5:]}["{key}"]')
                break
    lists = [a for a in attributes if a in ("grads", "gradients")]
    if not lines and lists:  # self.params = [W, b] and self.grads = [dW, db]
        lines = [f"d{name} = layer.{lists[0]}[{k}]" for k, name in enumerate(wanted)]
    return lines


def _is_gradient_of(attribute: str, name: str) -> bool:
    return any(bare != attribute and same(bare, [name]) for bare in of_gradient(attribute))


# -- the derivative of an elementwise function alone ----------------------------------------


def derivative_only(candidate: Candidate, names: Names) -> list[Binding]:
    """``sigmoid_prime(x)``: times the upstream gradient; of the input, or of the output."""
    backward, forward = candidate.backward, candidate.forward
    if not _is_derivative(candidate) or backward is None or len(names.outputs) != 1:
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


def _is_derivative(candidate: Candidate) -> bool:
    backward = candidate.backward
    if candidate.owner or backward is None or backward.required > 1 or not backward.params:
        return False
    words = set(split(backward.name))
    named = bool(words & DERIVATIVE_WORDS) or backward.name.startswith("d")
    return named and not is_upstream(backward.params[0]) and not is_cache(backward.params[0])


def _order(called: Call) -> str:
    return ", arguments by their order" if called.by_order else ""


CONVENTIONS: tuple[Callable[[Candidate, Names], list[Binding]], ...] = (
    pair_of_functions,
    one_call,
    class_with_methods,
    derivative_only,
)
