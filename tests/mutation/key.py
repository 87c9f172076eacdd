"""Which causes are a right answer for a change: the codes of `gradtool explain`, by what they mean.

A code is right when its documented meaning is true of the change and leads to the changed place.
What is merely near it is not: a student who is told "a wrong power" about a changed sign is misled.
The functions here give the codes for a place or for what was lost; the modules of `changes` give
those of their own kinds of change, each with its reason.
"""

from __future__ import annotations

import ast
from typing import Any

import numpy as np

from tests.mutation.site import Site

Codes = frozenset[str]


def codes(text: str = "") -> Codes:
    return frozenset(text.split())


# A number in a product: constant factors, and those of a count, which have names of their own.
COUNTED = codes("mean-for-sum sum-for-mean")
NUMERIC = codes("scale regulariser") | COUNTED
# A factor on the other side of the division line; x / y is x times y to the power -1.
INVERTED = codes("inverted-factor power")
# A summand that is gone: of a gradient a path, of a slope a term, of a penalised loss the penalty.
ADDED = codes("missing-path missing-term regulariser")
LEFT_OUT = codes("missing-factor")
AXIS = codes("wrong-axis")
# Without an axis a sum runs over all.  Another axis is a sum too many and one too few.
ALL_AXES = codes("wrong-axis extra-sum")
REDUCED = codes("wrong-axis extra-sum missing-sum")
TRANSPOSED = codes("transposed swapped-order")
MASK = codes("mask mask-missing")
# Places of windows, slices, loops: which of the words fits depends on the layer.
PLACE = codes("offset stride-ignored padding some-entries skipped")
OPERATOR = codes("operator")
SIGN = codes("sign")
# Another value of the same shape: of the forward pass, a gradient, the argument of a slope.
TENSOR = codes("wrong-tensor wrong-gradient wrong-point")
# A number that is no factor: the 1 of 1 - a.
CONSTANT = codes("constant")
GUARD = codes("guard constant")
TINY = 1e-3


def numeric(site: Site, *nodes: ast.AST) -> Codes:
    """What a wrong number in a product is; "not averaged" speaks of a count, not of a 2."""
    return NUMERIC if any(map(site.is_counted, nodes)) else NUMERIC - COUNTED


def another(site: Site, new: ast.AST, old: ast.AST | None = None) -> Codes:
    """What a value is that stands in the place of another one.

    Of two gradients "another gradient" is true, of two values of the forward pass "another value
    of the forward pass", of one and one each is half true, and of what cannot be told apart both
    may be.  A derivative is taken at the wrong point where both are values of the forward pass,
    and an operand of a matrix product is no point.
    """
    given, belongs = site.has_gradient(new), old is None or site.has_gradient(old)
    if given and belongs:
        return codes("wrong-gradient")
    if given or belongs:
        return codes("wrong-gradient wrong-tensor")
    found = codes("wrong-tensor") if site.in_matrix_product() else codes("wrong-tensor wrong-point")
    # Errors that are kept (p - y) are gradients, whatever their names.
    surely = site.is_taken(new) and not site.is_like_gradient(new)
    return found if surely else found | codes("wrong-gradient")


def of_layer(accepted: Codes, text: str, penalised: bool) -> Codes:
    """Without words that are false of a whole layer.

    Only a loss with a constant can have a penalty with a weight; without windows there is no
    stride and no padding.
    """
    windows = any(word in text for word in _WINDOWS)
    accepted -= codes() if penalised else codes("regulariser")
    return accepted - (codes() if windows else codes("padding stride-ignored"))


_WINDOWS = ("conv", "pool", "pad", "stride", "upsample", "::")


def of_place(site: Site) -> Codes | None:
    """What any change inside a condition, an index, an axis, an exponent or a range is.

    None where the node stands in plain arithmetic.
    """
    if site.in_condition():
        # It chooses entries (or which steps of a loop are taken), whatever is changed in it.
        return MASK | (PLACE if _is_about_places(site) else codes())
    if site.in_shape():
        # N for D: "counts along another axis"; as a divisor a constant factor, in a loop or a
        # slice another stretch.
        indices = [p for p in site.parents if isinstance(p, ast.Subscript)]
        counted = PLACE if site.in_range() or len(indices) > 1 else codes()
        return AXIS | counted | codes("scale")
    if site.in_range():
        return PLACE
    if site.in_axis():
        if site.in_call("transpose", "swapaxes", "moveaxis"):
            return AXIS | TRANSPOSED
        # The largest along another axis chooses other entries.
        return REDUCED | (MASK if site.in_call("argmax", "argmin", "max", "min") else codes())
    base = site.index_of()
    if base is not None:
        found = PLACE
        held = site.value(base)
        if isinstance(held, tuple | list):  # another of the values that were kept
            found |= TENSOR
        elif isinstance(held, np.ndarray) and not site.has_gradient(base):
            found |= codes("wrong-tensor")  # the state of another step, the row of another sample
        innermost = next(p for p in reversed(site.parents) if isinstance(p, ast.Subscript))
        window = any(isinstance(p, ast.Slice) for p in site.chain)  # t:t + R is no class
        if site.is_label_array(innermost.slice) and not window:
            found |= codes("label-shift")
        return found
    if site.in_place() or site.in_call("slice"):
        return PLACE
    if site.in_call("pad"):
        return PLACE
    return None


def of_exponent(site: Site, old: Any, new: Any) -> Codes:
    """x to another power: a power; one more is a factor too many, one less one that is missing.

    x to -1 for x is on the other side of the division line; a half is a root.  Of a number every
    power is a constant factor.
    """
    found = codes("power")
    above = [p for p in site.parents if isinstance(p, ast.BinOp) and isinstance(p.op, ast.Pow)]
    if above and site.is_number(above[-1].left):
        found |= numeric(site, above[-1].left)
    if not (np.ndim(old) == 0 and np.ndim(new) == 0) or old is None or new is None:
        return found | codes("missing-factor extra-factor inverted-factor")
    if abs(old) == 0.5 or abs(new) == 0.5:
        found |= codes("wrong-function")
    if old * new < 0:
        found |= codes("inverted-factor")
    # Below the division line one power less is a factor more; "missing" means the divisor.
    found |= codes("extra-factor") if abs(new) > abs(old) else codes("missing-factor")
    return found


def of_lost(site: Site, lost: ast.AST, kept: ast.AST | None) -> Codes:
    """What a factor is that is missing: a number, a mask and the gradient have their own names."""
    found = LEFT_OUT
    if site.is_number(lost):
        # "The factor 1/N is missing" says it as well as "not averaged" does.
        found |= numeric(site, lost)
        if site.value(lost) == -1:
            found |= SIGN
    if site.is_switch(lost):
        found |= codes("mask-missing")
    if site.has_gradient(lost) and (kept is None or not site.has_gradient(kept)):
        found |= codes("upstream-ignored")
    return found


def of_summand(site: Site, lost: ast.AST) -> Codes:
    """What a summand is that is missing; a tiny number beside a root or a divisor is a guard."""
    value = site.value(lost)
    tiny = value is not None and np.ndim(value) == 0 and abs(value) < TINY
    return ADDED | (GUARD if tiny else codes())


def _is_about_places(site: Site) -> bool:
    """Whether a condition compares whole numbers: t > 0, lo <= c."""
    compared = [n for p in site.chain for n in ([p] if isinstance(p, ast.Compare | ast.If) else [])]
    test = compared[0].test if compared and isinstance(compared[0], ast.If) else None
    node = test if test is not None else (compared[0] if compared else site.node)
    sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
    return bool(sides) and all(isinstance(site.value(s), int | np.integer) for s in sides)
