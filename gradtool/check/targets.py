"""How the results of a call become ``d<name>``, and which argument is the upstream gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice, permutations

from gradtool.check.arguments import (
    Call,
    Names,
    NoMatch,
    gradient_target,
    gradients_among,
    same,
)
from gradtool.check.inventory import Function
from gradtool.check.words import is_upstream, of_gradient, split
from gradtool.records import replace

MOST_ORDERS = 6  # of results without names

OPEN = "returned"
"""How the names begin of results that may be several gradients: what is in them shows when they
are there."""


def gradient_lines(
    function: Function, source: str, called: Call, names: Names
) -> tuple[str, tuple[str, ...] | None]:
    """The statements that assign every ``d<name>`` from a call, and what is offered."""
    returned = function.returns[0] if function.returns else ("",)
    if function.spread >= 0:  # ``return dx, *rest`` gives as many as are missing
        place = function.spread
        several = ("",) * max(1, len(names.real) - len(returned) + 1)
        returned = (*returned[:place], *several, *returned[place + 1 :])
    if len(returned) == 1 and not returned[0].startswith("{"):
        one = gradient_target(returned[0], called.given, names) if returned[0] else None
        if one is None and not function.keys.get(returned[0]):
            returned = ("",) * len(names.real)  # a tuple under another name
    if len(returned) == 1 and (keys := keys_of(returned[0], function)):
        lines = [f"grads = {source}"]
        found = gradients_among(keys, called.given, names)
        lines += (f'd{variable} = grads["{key}"]' for variable, key in found.items())
        return "\n".join(lines), None
    flat = [name for entry in returned for name in _entries(entry)]
    targets = iter(gradient_targets(flat, called, names))
    # (dx, [dW, db]) is taken apart as it is put together.
    groups = [[next(targets) for _ in _entries(entry)] for entry in returned]
    texts = [
        f"({', '.join(group)},)" if entry.startswith("[") else group[0]
        for entry, group in zip(returned, groups, strict=True)
    ]
    return f"{', '.join(texts)} = {source}", None


def _entries(returned: str) -> list[str]:
    """The names in a returned value: several where it is a list."""
    if returned.startswith("[") and returned.endswith("]"):
        return returned[1:-1].split(",")
    return [returned]


def gradient_targets(returned: Sequence[str], called: Call, names: Names) -> list[str]:
    """A target for each returned value: by its name, otherwise by order.

    Fewer values without names than gradients may be what has several of these in it.

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
        if found.count(None) != len(free) and "None" in returned:
            # It stands for what has no gradient, such as a size.
            found = ["" if name == "None" else n for name, n in zip(returned, found, strict=True)]
        unknown = found.count(None)
        anonymous = sum(1 for name in returned if not name)
        dictionaries = sum(1 for name in returned if name.startswith("{"))
        if unknown < len(free) and anonymous + dictionaries == unknown:
            opened = (f"{OPEN}{place}" for place in range(unknown))
            return [f"d{n}" if n else next(opened) for n in found]
        if unknown != len(free) and (anonymous or unknown == len(found)):
            listed = ", ".join(name or "?" for name in returned)
            raise NoMatch(f"which of the results ({listed}) is the gradient of which variable?")
        if unknown == len(free):
            orders = list(islice(permutations(free), MOST_ORDERS))
            remaining = iter(orders[names.order] if names.order < len(orders) else free)
            found = [next(remaining) if n is None else n for n in found]
    return [f"d{n}" if n else "_" for n in found]


def keys_of(name: str, function: Function) -> tuple[str, ...]:
    if name.startswith("{") and name != "{}":
        return tuple(name.strip("{}").split(","))
    return tuple(function.keys.get(name, ()))


def upstream_arguments(
    backward: Function, kept: Mapping[str, str], called: Call, names: Names
) -> dict[str, str]:
    taken = [p for p in backward.params if p not in kept]
    found = [p for p in taken if is_upstream(p) or (p[:1] == "d" and _is_output(p[1:], names))]
    found = [p for p in found if p not in called.given] or found
    if not found and taken and taken[0] not in called.given and kept:
        found = taken[:1]
    if not found:  # the only one that is none of the inputs
        known = [*called.given, *(v.name for v in names.variables)]
        others = [p for p in taken if same(p, known) is None and same(p, names.outputs) is None]
        found = others if len(others) == 1 and others[0] in backward.params[:1] else []
    if len(names.outputs) == 1:
        return {found[0]: f"d{names.outputs[0]}"} if found else {}
    # No number shows whether a guess here is right: each must be named.
    named = _ordered(found, names.outputs, of_gradient)
    if not named or None in named:
        named = list(names.outputs)
    return {p: f"d{o}" for p, o in zip(found, named, strict=False)}


def together(upstream: Mapping[str, str], names: Names) -> dict[str, str]:
    """The only upstream argument given those of all outputs as a tuple; {} where there are more."""
    if len(upstream) != 1 or len(names.outputs) == 1:
        return {}
    return dict.fromkeys(upstream, f"({', '.join(f'd{o}' for o in names.outputs)})")


def _is_output(name: str, names: Names) -> bool:
    if len(names.outputs) == 1:
        return sorted(split(name)) == sorted(split(names.outputs[0]))
    return _same_words(name, names.outputs) is not None


def as_returned(forward: Function, names: Names) -> Names:
    """The names with the outputs in the order in which the forward returns what is called so."""
    returned = forward.returns[0][: len(names.outputs)] if forward.returns else ()
    bare = [name.removeprefix("self.") for name in returned]
    ordered = _ordered(bare, names.outputs, lambda name: [name])
    left = [name for name in names.outputs if name not in ordered]
    if not ordered or len(left) > 1:
        return names
    # What is called like none follows from the others.
    return replace(names, outputs=tuple(left[0] if name is None else name for name in ordered))


def _ordered(
    found: Sequence[str], known: Sequence[str], meant: Callable[[str], Iterable[str]]
) -> list[str | None]:
    """The known name of each that was found, None for what is called like none.

    `meant` are the readings of a name, likeliest first.  [] where two are called like one.
    """
    if len(found) != len(known):
        return []
    order: list[str | None] = []
    for name in found:
        readings = (_same_words(bare, known) for bare in meant(name) if bare)
        order.append(next(filter(None, readings), None))
    left = [name for name in known if name not in order]
    return order if len(left) == order.count(None) else []


def _same_words(name: str, known: Sequence[str]) -> str | None:
    """The known name with the same words, or the only one that has all words of this one."""
    if match := same(name, known):
        return match
    words = set(split(name))
    for fits in (set.__eq__, set.__le__):
        found = [other for other in known if fits(words, set(split(other)))]
        if len(found) == 1:
            return found[0]
    return None


def order_note(called: Call) -> str:
    return f", arguments {called.guess.how}" if called.guess is not None else ""
