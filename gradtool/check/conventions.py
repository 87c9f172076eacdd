"""The calling conventions of real code, most frequent first: each from functions to snippets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from gradtool.check.arguments import Names, NoMatch
from gradtool.check.as_made import after_a_first_call, as_made
from gradtool.check.averaged import averaged
from gradtool.check.bind import Binding
from gradtool.check.by_call import one_call
from gradtool.check.by_class import class_with_methods
from gradtool.check.by_closure import in_two_calls, returned_closure
from gradtool.check.by_derivative import derivative_only
from gradtool.check.by_flat import flat_vector
from gradtool.check.by_framework import jax_custom_vjp, torch_function
from gradtool.check.by_mask import with_drawn_masks
from gradtool.check.by_pair import pair_of_functions
from gradtool.check.candidate import Candidate
from gradtool.check.channels_last import channels_last, square
from gradtool.check.columns import in_columns, with_turned_weights
from gradtool.check.counts import counted
from gradtool.check.exchanged import exchanged
from gradtool.check.placing import MOST_PLACED
from gradtool.check.targets import MOST_ORDERS, as_returned
from gradtool.check.wide import with_wide_parameters
from gradtool.records import replace

# Each gives every reading of a candidate that it knows, none when the candidate is not of its
# kind, and raises NoMatch when it is but the names do not tell enough.
Convention = Callable[[Candidate, Names], list[Binding]]
CONVENTIONS: tuple[Convention, ...] = (
    torch_function,
    jax_custom_vjp,
    pair_of_functions,
    returned_closure,
    in_two_calls,
    one_call,
    flat_vector,
    class_with_methods,
    derivative_only,
)


def bindings(candidate: Candidate, names: Names) -> tuple[Binding, ...]:
    """Every reading of a candidate in every layout, likeliest first.

    Raises:
        NoMatch: there is none, and why.
    """
    found: tuple[Binding, ...] = readings(candidate, names)
    if names.open:
        found += tuple(other for one in found if (other := exchanged(one, candidate, names)))
    found += tuple(other for one in found if (other := as_made(one, names)) is not None)
    found += tuple(other for one in found if (other := after_a_first_call(one, candidate)))
    turned = [other for one in found if (other := in_columns(one, names)) is not None]
    across = [other for one in found if (other := with_turned_weights(one, names)) is not None]
    wide = [other for one in found if (other := with_wide_parameters(one, names)) is not None]
    last = [other for one in found for other in channels_last(one, names)]
    images = (*found, *wide, *last)
    even = [other for one in images if (other := square(one, names)) is not None]
    mean = [other for one in found for other in averaged(one, names)] if names.open else []
    moved = _rearranged(candidate, names, found)
    every = (*found, *turned, *across, *wide, *last, *even, *mean, *moved)
    return tuple(sorted(every, key=lambda one: one.last_resort))


def readings(candidate: Candidate, names: Names) -> tuple[Binding, ...]:
    """Every reading of a candidate in the layout of the names; raises as `bindings` does.

    Several outputs are told apart by their names in the code, and by their places only where the
    forward is not the layer's like that.
    """
    names = replace(names, chosen={name: repr(text) for name, text in candidate.chosen})
    ways = counted(candidate, names)
    if len(ways) == 1:
        return _in_their_places(candidate, ways[0])
    found: tuple[Binding, ...] = ()
    for place, way in enumerate(ways):
        more = _in_their_places(candidate, way)
        found += tuple(replace(one, last_resort=one.last_resort or place > 0) for one in more)
    return found


def _in_their_places(candidate: Candidate, names: Names) -> tuple[Binding, ...]:
    """The readings with the outputs in the order of the code, and in that of the spec."""
    named = as_returned(candidate.forward, names) if candidate.forward else names
    if named.outputs == names.outputs:
        return _readings(candidate, names)
    found: tuple[Binding, ...] = ()
    with suppress(NoMatch):
        found = _readings(candidate, named)
    placed = _readings(candidate, names)
    return *found, *(replace(one, last_resort=bool(found)) for one in placed)


def _readings(candidate: Candidate, names: Names) -> tuple[Binding, ...]:
    found: list[Binding] = []
    reasons: list[str] = []
    for convention in CONVENTIONS:
        try:
            found += convention(candidate, names)
        except NoMatch as reason:
            reasons.append(str(reason))
            continue
        # Whoever names the layer expects its gradients in its order.
        if names.open:
            found += _other_orders(convention, candidate, names, found)
    found = found or with_drawn_masks(candidate, names, CONVENTIONS)
    if not found:
        raise NoMatch("; ".join(dict.fromkeys(reasons)) or "its calling convention is unknown")
    return tuple(found)


def _rearranged(
    candidate: Candidate, names: Names, known: Sequence[Binding]
) -> tuple[Binding, ...]:
    """The readings in which arguments whose names the spec does not know come in another order.

    They are a last resort: code in which two variables have changed places must not be right.
    """
    if candidate.forward is None or not any(_is_open(one) for one in known):
        return ()
    texts = {(one.setup, one.forward, one.backward) for one in known}
    found: list[Binding] = []
    for place in range(1, MOST_PLACED[names.open]):
        try:
            others = readings(candidate, replace(names, placed=place))
        except NoMatch:
            break
        for one in others:
            if one.guess is not None and (one.setup, one.forward, one.backward) not in texts:
                texts.add((one.setup, one.forward, one.backward))
                remark = (
                    f"{one.guess.unknown}: taken in the order in which the forward gives the "
                    "layer's numbers"
                )
                found.append(replace(one.remarked(remark), last_resort=True))
    return tuple(found)


def _is_open(binding: Binding) -> bool:
    return binding.guess is not None and len(binding.guess.parameters) > 1


# Gradients in each other's place are a mistake, too, and the numbers are those.
_ORDER = (
    "the gradients that it returns have no names, and are right in another order than that of its "
    "arguments: give them names, or say the order in a check: block"
)


def _other_orders(
    convention: Convention, candidate: Candidate, names: Names, known: Sequence[Binding]
) -> list[Binding]:
    """The readings in which results without names come in another order."""
    texts = {(one.forward, one.backward) for one in known}
    found: list[Binding] = []
    for order in range(1, MOST_ORDERS):
        for one in convention(candidate, replace(names, order=order)):
            if (one.forward, one.backward) not in texts:
                texts.add((one.forward, one.backward))
                remark = "the returned gradients have no names: taken in the order that fits best"
                found.append(replace(one, remark=one.remark or remark, undecided=_ORDER))
    return found
