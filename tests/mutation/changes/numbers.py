"""Numbers that are written down, and counts that are held in variables."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import numpy as np

from tests.mutation.key import (
    AXIS,
    CONSTANT,
    GUARD,
    MASK,
    PLACE,
    SIGN,
    TINY,
    TRANSPOSED,
    Codes,
    codes,
    numeric,
    of_exponent,
    of_place,
)
from tests.mutation.site import Site

Found = Iterator[tuple[ast.AST | None, Codes, str]]


def constants(site: Site) -> Found:
    """Another number: one more, one less, twice as much; another truth value."""
    node = site.node
    if not isinstance(node, ast.Constant):
        return
    value = node.value
    if isinstance(value, bool):  # keepdims: the sum meets the array along another axis
        yield ast.Constant(not value), AXIS | TRANSPOSED, "constant"
        return
    if not isinstance(value, int | float):
        return
    changed = [value + 1, value - 1] + ([value * 2] if isinstance(value, float) else [])
    for new in changed:
        if site.in_exponent():
            if new == 0:  # what is gone altogether is no power
                continue
            yield ast.Constant(new), of_exponent(site, value, new), "constant"
        else:
            placed = of_place(site)
            accepted = _plain(site, value, new) if placed is None else placed
            yield ast.Constant(new), accepted, "constant"


def _plain(site: Site, old: float, new: float) -> Codes:
    """In a product a constant factor, in a sum a wrong number, or one that is missing (0)."""
    if isinstance(site.parent, ast.Assign) and isinstance(site.parent.targets[0], ast.Subscript):
        return MASK | CONSTANT  # dz[z <= 0] = 0
    if isinstance(site.parent, ast.Assign | ast.Dict):  # a sum that begins with something
        return CONSTANT | codes("accumulated") | numeric(site, site.node)
    # The 1 of 1 - a is no factor of anything, unless the whole of the sum is a number.
    accepted = CONSTANT if _is_summand(site) else numeric(site, site.node) | CONSTANT
    whole = Site(site.parent, site.parents[:-1], site.values, site.gradients)
    if whole.is_mask():  # 1 - mask: the condition is another one
        accepted |= MASK
    if 0 < abs(old) < TINY:
        accepted |= GUARD
    if new == 0:
        accepted |= codes("missing-term missing-path")
    if new == 1 and site.in_product():
        accepted |= codes("missing-factor")
    if new == -old:
        accepted |= SIGN
    call = site.parent
    if isinstance(call, ast.Call) and call.args[-2:] and site.in_call("where"):
        others = [
            a.value for a in call.args[1:] if isinstance(a, ast.Constant) and a is not site.node
        ]
        if new in others:  # where(z > 0, 1, 1) lets everything through
            accepted |= codes("mask-missing")
    if site.in_call("clip", "maximum", "minimum"):  # a bound decides which entries pass
        accepted |= MASK | GUARD
    return accepted


def _is_summand(site: Site) -> bool:
    """Whether the node is a part of a sum that is no number."""
    whole: ast.AST | None = None
    for p in reversed(site.parents):
        if isinstance(p, ast.BinOp) and isinstance(p.op, ast.Add | ast.Sub):
            whole = p
        elif not isinstance(p, ast.UnaryOp):
            break
    return whole is not None and not site.is_number(whole)


def counts(site: Site) -> Found:
    """Another count, N for D, W for H; another counter, i for j; another place, left for top."""
    node = site.node
    if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
        return
    if not _is_count(site.values.get(node.id)):
        return
    if not isinstance(site.parent, ast.expr | ast.keyword | ast.slice):
        return
    # "Counts along another axis"; as a factor a constant one, else another stretch or place.
    placed = of_place(site)
    formula = codes("scale constant")  # "a number inside the formula is wrong"
    accepted = AXIS | (formula if placed is None else placed - codes("label-shift"))
    loops = [n for n in ast.walk(site.function) if isinstance(n, ast.For)]
    counters = {n.id for loop in loops for n in ast.walk(loop.target) if isinstance(n, ast.Name)}
    assigned = {
        n.id
        for loop in loops
        for n in ast.walk(loop)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.id not in counters
    }
    for name, value in site.values.items():
        if name == node.id or "." in name or not _is_count(value):
            continue
        if (name in counters, name in assigned) == (node.id in counters, node.id in assigned):
            yield ast.Name(name, ast.Load()), accepted, "count"


def unpacking(site: Site) -> Found:
    """Two neighbours change places where a shape is unpacked: N, C, W, H = x.shape."""
    node = site.node
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Tuple):
        return
    if not (isinstance(node.value, ast.Attribute) and node.value.attr == "shape"):
        return
    names = node.targets[0].elts
    for place in range(len(names) - 1):
        new = list(names)
        new[place : place + 2] = new[place + 1], new[place]
        # The counts go into loops, slices and divisors.
        accepted = AXIS | PLACE | codes("scale")
        yield ast.Assign([ast.Tuple(new, ast.Store())], node.value), accepted, "count"


def _is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


OPERATORS = (constants, counts, unpacking)
