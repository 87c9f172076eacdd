"""The calling conventions of real code, most frequent first: each from functions to snippets."""

from __future__ import annotations

from collections.abc import Callable

from gradtool.check.arguments import Names, NoMatch
from gradtool.check.bind import Binding
from gradtool.check.by_call import one_call
from gradtool.check.by_class import class_with_methods
from gradtool.check.by_derivative import derivative_only
from gradtool.check.by_flat import flat_vector
from gradtool.check.by_framework import jax_custom_vjp, torch_function
from gradtool.check.by_mask import with_drawn_masks
from gradtool.check.by_pair import pair_of_functions
from gradtool.check.candidate import Candidate
from gradtool.check.columns import in_columns
from gradtool.check.wide import with_wide_parameters

# Each gives every reading of a candidate that it knows, none when the candidate is not of its
# kind, and raises NoMatch when it is but the names do not tell enough.
CONVENTIONS: tuple[Callable[[Candidate, Names], list[Binding]], ...] = (
    torch_function,
    jax_custom_vjp,
    pair_of_functions,
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
    found = readings(candidate, names)
    turned = [other for one in found if (other := in_columns(one, names)) is not None]
    wide = [other for one in found if (other := with_wide_parameters(one, names)) is not None]
    return (*found, *turned, *wide)


def readings(candidate: Candidate, names: Names) -> tuple[Binding, ...]:
    """Every reading of a candidate in the layout of the names; raises as `bindings` does."""
    found: list[Binding] = []
    reasons: list[str] = []
    for convention in CONVENTIONS:
        try:
            found += convention(candidate, names)
        except NoMatch as reason:
            reasons.append(str(reason))
    found = found or with_drawn_masks(candidate, names, CONVENTIONS)
    if not found:
        raise NoMatch("; ".join(dict.fromkeys(reasons)) or "its calling convention is unknown")
    return tuple(found)
