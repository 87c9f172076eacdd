"""An object with forward and backward: gradients are returned, or left in the object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradtool.check.arguments import (
    Call,
    Names,
    NoMatch,
    call,
    called_otherwise,
    constant_for,
    gradient_target,
    in_pairs,
    other_name,
    same,
    size_called,
    sizes_for,
)
from gradtool.check.as_made import builds
from gradtool.check.bind import Binding
from gradtool.check.by_closure import closing, not_used, slope
from gradtool.check.by_derivative import method_alone
from gradtool.check.by_pair import Results, results_of
from gradtool.check.candidate import Candidate, is_torch_function
from gradtool.check.filters import NO_WINDOW, Window, filters_of, is_window, windows
from gradtool.check.guesses import guesses_for, labels_behind, unsure_readings
from gradtool.check.inventory import Class, Function
from gradtool.check.targets import gradient_lines, keys_of, order_note, together, upstream_arguments
from gradtool.check.words import RESULTS, canonical, folded, is_cache, is_upstream, of_gradient
from gradtool.records import replace

_PENALTIES = frozenset({"l1", "lasso", "ridge", "l1reg", "l2reg", "l1lambda", "l2lambda"})
_RATES = frozenset({"lr", "learningrate", "alpha", "eta", "stepsize"})


def class_with_methods(candidate: Candidate, names: Names) -> list[Binding]:
    """An object: parameters by its constructor or as attributes, gradients returned or stored."""
    owner = candidate.owner
    if not owner or not candidate.forward or not candidate.backward or is_torch_function(owner):
        return []
    return [
        reading
        for window in windows(owner, names)
        for built in builds(owner, names)
        for reading in _readings(candidate, owner, names, window, built)
    ]


def _readings(
    candidate: Candidate, owner: Class, names: Names, window: Window, built: Sequence[str]
) -> list[Binding]:
    forward, backward = candidate.forward, candidate.backward
    assert forward is not None
    assert backward is not None
    asked = [name for name in names.parameters if same(name, forward.needed)]
    setup, passed = construction(owner, names, window, built, asked)
    bare = ", made without a bias" if _is_made_bare(owner, names) else ""
    rest = [v.name for v in names.variables if v.name not in passed and not v.read]
    context = _context(forward, backward)
    setup += [_CONTEXT] if context else []
    called = call(forward, names, context, rest, _named_after(forward, backward))
    method = "" if forward.name == "__call__" else f".{forward.name}"
    source = f"layer{method}({called.text})"
    results: Results | None
    if candidate.closure is None:
        results = _returned_for(forward, backward, called, names)
        back = f"layer.{backward.name}"
    else:
        backward, results = closing(candidate, called, names)
        back = backward.name
    kept_back = {**context, **(results.kept if results else {})}
    first = results.lines(source) if results else _forward_line(source, forward, names)
    upstream = upstream_arguments(backward, kept_back, called, names)
    # Several inputs that come again leave no place for an upstream gradient: a loss has none.
    repeats = len(called.given) > 1 and all(p in backward.params for p in called.given)
    if not upstream and not repeats and backward.required and len(names.outputs) == 1:
        upstream = {backward.params[0]: f"d{names.outputs[0]}"}
    again = {p: called.given[p] for p in backward.params if p in called.given and p not in upstream}
    again |= kept_back
    node = {p: "node" for p in backward.params if p == "node"}
    alone_too = candidate.closure is not None and not upstream and not names.is_loss
    if alone_too or _is_derivative(backward, names):
        line = slope(back, names, forward)
        how = f"the class {owner.name}, whose {backward.name} is the derivative alone"
        return [_at_window(Binding(how, first, line, "\n".join(setup)), window)]
    alone: list[Binding] = []
    if candidate.closure is None:
        alone = method_alone(owner, forward, backward, "\n".join(setup), first, names)
    try:
        arguments = call(backward, names, {**upstream, **again, **node}, [])
    except NoMatch:
        if alone:
            return [_at_window(reading, window) for reading in alone]
        raise
    given = Call("", {**called.given, **{n: n for n in passed}}, called.guess)
    steps = _steps(owner, backward, names)
    made = f'node = type("Node", (), {{"inputs": [{called.text}]}})()'
    how = ", gradients from an update with the learning rate 1" if steps else ""

    def with_arguments(text: str) -> Binding:
        lines = [made] if node else []
        source = f"{back}({text})"
        lines += _class_gradients(owner, backward, source, given, names, steps)
        owed, remark = _owed(owner, lines, names)
        return Binding(
            f"the class {owner.name}{bare}{how}" + order_note(called),
            first,
            "\n".join(lines),
            "\n".join(setup),
            {name: f"step(layer.{attribute})" for name, attribute in steps.items()},
            gradients=owed,
            unsure=labels_behind(backward, upstream, names),
            remark=remark,
            guess=called.guess,
            given=given.given,
        )

    whole = with_arguments(arguments.text)
    # Where the forward pass keeps nothing, the backward pass is given what it needs.
    readings = [whole, *alone] if forward.sets else [*alone, whole]
    if all_of_them := together(upstream, names):
        arguments = call(backward, names, {**all_of_them, **again, **node}, [])
        readings.append(with_arguments(arguments.text))
    kept = [f"layer.{attribute}" for attribute in forward.sets]
    if guesses := guesses_for(backward, upstream, called, kept, names):
        others = [
            (told, with_arguments(call(backward, names, {**guess, **again, **node}, []).text))
            for told, guess in guesses
        ]
        readings = unsure_readings(backward, [*others, ("the upstream gradient", whole)])
    if names.is_loss and upstream and not backward.required and not steps:
        # ``backward(self, dout=1)``: nothing comes behind a loss.
        plain = call(backward, names, {**again, **node}, [])
        source = f"{back}({plain.text})"
        lines = [
            *([made] if node else []),
            *_class_gradients(owner, backward, source, given, names),
        ]
        readings.append(replace(whole, backward="\n".join(lines), remark=not_used(upstream)))
    return [_at_window(reading, window) for reading in readings]


def _context(forward: Function, backward: Function) -> dict[str, str]:
    """What both methods are given first to keep values in, as ``ctx.save_for_backward(x)``."""
    first = [function.params[:1] for function in (forward, backward)]
    if first[0] != first[1] or not first[0] or folded(first[0][0]) not in ("ctx", "context"):
        return {}
    return {first[0][0]: "context"}


_CONTEXT = """\
class Kept:
    def save_for_backward(self, *values):
        self.saved_tensors = self.saved_values = values
context = Kept()"""


def _returned_for(
    forward: Function, backward: Function, called: Call, names: Names
) -> Results | None:
    """What a forward pass returns beside its output for the backward pass: ``out, cache``."""
    returned = forward.returns[0] if forward.returns else ()
    keys = keys_of(returned[0], forward) if len(returned) == 1 else ()
    if len(returned) <= len(names.outputs) and not keys:
        return None
    taken = {p for p in backward.params if is_cache(p) or same(p, [*returned, *keys])}
    taken |= {backward.rest} - {""}
    if not taken - set(called.given) and len(returned) <= len(names.outputs) + 1:
        return None
    return results_of(forward, backward, called, names)


def _forward_line(source: str, forward: Function, names: Names) -> str:
    """The call of a forward pass that returns its output, with a cache or alone, or keeps it."""
    output = ", ".join(names.outputs)
    result = forward.returns[0] if forward.returns else ()
    if forward.returns or len(names.outputs) != 1 or not forward.sets:
        target = f"{output}, _" if len(result) == len(names.outputs) + 1 else output
        return f"{target} = {source}"
    kept = next((a for a in reversed(forward.sets) if folded(a) in RESULTS), forward.sets[-1])
    return f"{source}\n{output} = layer.{kept}"


def _named_after(forward: Function, backward: Function) -> set[str]:
    """The parameters of a forward pass that returned gradients are named after: ``dLdA``."""
    returned = {name for entry in backward.returns[:1] for name in entry}
    bare = {b for name in returned for b in of_gradient(name) if b != name}
    return {p for p in forward.params if p in bare}


def _is_derivative(backward: Function, names: Names) -> bool:
    """Whether a backward pass has no place for an upstream gradient that it needs."""
    alone = not backward.required and not any(is_upstream(p) for p in backward.params)
    returns = bool(backward.returns and backward.returns[0])
    elementwise = len(names.real) == len(names.outputs) == 1 and not names.parameters
    return alone and returns and elementwise and not names.is_loss


def _steps(owner: Class, backward: Function, names: Names) -> dict[str, str]:
    """The parameters that the backward pass changes itself, with their attributes.

    With a learning rate of its own, or with the object's where it leaves no gradients in that.
    """
    init = owner.method("__init__")
    own = any(folded(p) in _RATES for p in backward.params)
    if not own and not any(_is_rate(p, names) for p in (init.params if init else ())):
        return {}
    found = {name: same(name, backward.sets) for name in names.parameters}
    left = {name: attribute for name, attribute in found.items() if attribute}
    return left if own or not _stored(owner, names, [*left]) else {}


def _is_rate(parameter: str, names: Names) -> bool:
    """Whether an argument of a constructor is a learning rate, and no slope of a layer."""
    known = same(parameter, (*names.constants, *names.parameters))
    return folded(parameter) in _RATES and known is None


def _at_window(binding: Binding, window: Window) -> Binding:
    if not window.equal:
        return binding
    told = " and ".join(f"{first} = {second}" for first, second in window.equal)
    how = f"{binding.convention}, with {told}"
    return replace(binding, convention=how, equal=window.equal)


def construction(
    owner: Class,
    names: Names,
    window: Window = NO_WINDOW,
    built: Sequence[str] = (),
    asked: Sequence[str] = (),
) -> tuple[list[str], list[str]]:
    """The lines that make the object, with those of `built`, and the variables that it got.

    What the forward pass is `asked` with it keeps itself, ``self.w = w``.
    """
    init, filters = owner.method("__init__"), filters_of(names)
    texts: dict[str, str] = {}
    passed: list[str] = []
    for parameter in init.params if init else ():
        if window.text and is_window(parameter, names):
            texts[parameter] = window.text
        elif init and parameter in init.flags:  # ``bias=True`` says that there is one
            if _asks_for_bias(parameter) and (answer := _has_bias(names)):
                texts[parameter] = answer
        elif match := same(parameter, [n for n in names.parameters if n not in passed]):
            texts[parameter] = match
            passed.append(match)
        elif meant := called_otherwise(parameter, names, passed):
            texts[parameter] = meant
            passed.append(meant)
        elif number := (
            (filters.size(parameter) if filters else sizes_for(parameter, names))
            or constant_for(parameter, names)
            or size_called(parameter, names)
            or names.chosen.get(parameter)
        ):
            texts[parameter] = in_pairs(number, parameter, init) if init else number
        elif _is_rate(parameter, names):
            texts[parameter] = "1.0"
        elif folded(parameter) in _PENALTIES or canonical(parameter) == "reg":
            texts[parameter] = "0.0"  # the layer of that name has none
    if init:
        missing = [p for p in init.needed if p not in texts]
        large = next((v for v in names.variables if v.role == "parameter"), None)
        sized = any(sizes_for(p, names) for p in texts)
        # Two words for one product are hardly both the product: one may be a factor of it.
        plain = large is not None and all(str(dim).isidentifier() for dim in large.shape)
        in_order = large is not None and plain and len(missing) == len(large.shape)
        if missing and large and in_order and not (passed or sized):
            texts |= {p: str(d) for p, d in zip(missing, large.shape, strict=True)}
            missing = []
        sides = set(map(str, large.shape)) if large and len(large.shape) > 1 else set()
        if len(missing) == len(sides) == 1 and not (passed or sized):  # ``embed_dim`` of a square
            texts[missing.pop()] = sides.pop()
        if missing:
            made = f"{owner.name} is made with {', '.join(missing)}"
            raise NoMatch(f"{made}: no size, parameter or constant is called that")
    arguments = ", ".join(f"{p}={texts[p]}" for p in (init.params if init else ()) if p in texts)
    lines = [f"layer = {owner.name}({arguments})", *built]
    attributes = list(dict.fromkeys(a for m in owner.methods for a in m.sets))
    # ``self.bias`` beside ``self.biases`` may be the flag; ``self.bias`` alone is the bias.
    values = [a for a in attributes if not (init and a in init.flags)]
    keyed = {name: keys for m in owner.methods for name, keys in m.keys.items()}
    stores = [(s, k) for s, k in keyed.items() if s.startswith("self.") and "grad" not in s]
    # The one that has most of them: another may be for what the layer was made with.
    stores.sort(key=lambda item: -sum(bool(_called(n, item[1], names)) for n in names.parameters))
    for name in names.parameters:
        if name in passed or name in asked:
            continue
        if attribute := _called(name, values, names) or _called(name, attributes, names):
            lines.append(f"layer.{attribute} = {name}")
            passed.append(name)
            continue
        for store, keys in stores:
            if key := _called(name, keys, names):
                lines.append(f'layer.{store[5:]}["{key}"] = {name}')
                passed.append(name)
                break
    return lines, passed


def _called(name: str, known: Sequence[str], names: Names) -> str | None:
    """What a parameter is called among some names."""
    word = other_name(name, names)
    found = same(name, known)
    return found or next((k for k in known if word and canonical(k) == word), None)


def _asks_for_bias(flag: str) -> bool:
    """Whether a flag is one such as ``bias`` or ``use_bias``."""
    plain = folded(flag)
    for word in ("use", "has", "with", "add"):
        plain = plain.removeprefix(word)
    return canonical(plain) == canonical("b")


def _is_made_bare(owner: Class, names: Names) -> bool:
    init = owner.method("__init__")
    asked = init is not None and any(map(_asks_for_bias, init.flags))
    return asked and _has_bias(names) == "False"


def _has_bias(names: Names) -> str:
    """Whether a layer has a bias, as Python has it; "" where that is not sure."""
    if any(canonical(name) == canonical("b") for name in names.parameters):
        return "True"
    # A vector of another name may be what the class calls its bias.
    vectors = any(len(v.shape) == 1 for v in names.variables if v.role == "parameter")
    return "" if vectors else "False"


def _class_gradients(
    owner: Class,
    backward: Function,
    source: str,
    given: Call,
    names: Names,
    stepped: Iterable[str] = (),
) -> list[str]:
    returned = backward.returns[0] if backward.returns else ()
    returned = () if returned == ("None",) else returned  # nothing behind it has a gradient
    real = list(names.real)
    parameters = [n for n in real if n in names.parameters]
    inputs = [n for n in real if n not in parameters]
    lines: list[str] = []
    found: list[str] = []
    if not returned:
        lines.append(source)
    elif len(returned) == 1 and not keys_of(returned[0], backward):
        # One result is the gradient of the input, whatever it is called; the parameters' lie in
        # the object.
        meant = gradient_target(returned[0], given.given, names) if returned[0] else None
        variable = inputs[0] if inputs else meant
        alone = names.is_loss and len(parameters) == 1 and not _stored(owner, names, parameters)
        if alone and meant not in inputs:
            (variable,) = parameters  # a loss that is asked with them has nothing behind it
        if variable is None:
            raise NoMatch(f"{owner.name}.{backward.name}: which gradient does it return?")
        lines.append(f"d{variable} = {source}")
        found.append(variable)
    else:
        among = _of_inputs(returned, owner, inputs, given, names)
        text, _ = gradient_lines(backward, source, given, among)
        lines += text.splitlines()
        found = [n for n in real if f"d{n}" in text.replace("[", " ")]
    lines += _stored(owner, names, [n for n in real if n not in found and n not in set(stepped)])
    return lines


def _owed(owner: Class, lines: Iterable[str], names: Names) -> tuple[tuple[str, ...] | None, str]:
    """The gradients that a loss owes, and what is said of the others: as nothing comes before it,
    those of its inputs are not, where it has parameters and gives none.
    """
    text = "\n".join(lines)
    left = [n for n in names.real if n not in names.parameters and f"d{n} " not in f"{text} "]
    inputs = [n for n in names.real if n not in names.parameters]
    if not names.is_loss or not inputs or left != inputs or len(inputs) == len(names.real):
        return None, ""
    owed = tuple(n for n in names.real if n in names.parameters)
    return owed, f"{owner.name} offers no d{', no d'.join(left)}"


def _of_inputs(
    returned: Sequence[str], owner: Class, inputs: Sequence[str], given: Call, names: Names
) -> Names:
    """The names, or those of the inputs alone where as many results are returned and the object
    has the gradients of all parameters: ``return dX, dh`` of a network whose state began as ``h0``.
    """
    others = [v for v in names.variables if v.name in inputs or not v.differentiable]
    if len(returned) != len(inputs) or len(others) == len(names.variables):
        return names
    meant = [gradient_target(name, given.given, names) for name in returned]
    left = [name for name in names.parameters if name in names.real]
    if not set(meant).isdisjoint(left) or len(_stored(owner, names, left)) < len(left):
        return names
    return replace(names, variables=tuple(others))


def _stored(owner: Class, names: Names, wanted: Sequence[str]) -> list[str]:
    """Lines that read gradients which the backward left in the object."""
    attributes = list(dict.fromkeys(a for m in owner.methods for a in m.sets))
    keyed = {n: k for m in owner.methods for n, k in m.keys.items() if n.startswith("self.")}
    lines: list[str] = []
    for name in wanted:
        if stored := _gradient_called(name, attributes, names):
            lines.append(f"d{name} = layer.{stored}")
            continue
        for store, keys in keyed.items():
            key = _gradient_called(name, keys, names)
            if key is None and "grad" in store.lower():
                key = _called(name, keys, names)
            if key:
                lines.append(f'd{name} = layer.{store[5:]}["{key}"]')
                break
    inputs = [n for n in wanted if n not in names.parameters]
    if len(inputs) == 1 and not any(line.startswith(f"d{inputs[0]} ") for line in lines):
        # ``self.dinputs`` is of the only input, whatever that is called.
        kept = next((a for a in attributes if _is_gradient_of(a, "x")), None)
        lines += [f"d{inputs[0]} = layer.{kept}"] if kept else []
    lists = [a for a in attributes if a in ("grads", "gradients")]
    if not lines and lists:  # self.params = [W, b] and self.grads = [dW, db]
        listed = [name for name in wanted if name in names.parameters] or wanted
        lines = [f"d{name} = layer.{lists[0]}[{k}]" for k, name in enumerate(listed)]
    found = {line.split()[0] for line in lines}
    for name in inputs:  # ``self.dh`` is that of the state before the first step, ``h0``
        first = name.removesuffix("0").rstrip("_")
        kept = next((a for a in attributes if _is_gradient_of(a, first)), None)
        if f"d{name}" not in found and 0 < len(first) < len(name) and kept:
            lines.append(f"d{name} = layer.{kept}")
    return lines


def _gradient_called(name: str, known: Sequence[str], names: Names) -> str | None:
    """What the gradient of a variable is called among some names."""
    words = filter(None, (name, other_name(name, names)))
    return next((one for word in words for one in known if _is_gradient_of(one, word)), None)


def _is_gradient_of(attribute: str, name: str) -> bool:
    return any(bare != attribute and same(bare, [name]) for bare in of_gradient(attribute))
