"""Whole statements: none, = for +=, - for +."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import numpy as np

from tests.mutation.key import (
    ADDED,
    INVERTED,
    MASK,
    NUMERIC,
    PLACE,
    SIGN,
    TRANSPOSED,
    Codes,
    another,
    codes,
    numeric,
    of_lost,
    of_summand,
)
from tests.mutation.site import Site
from tests.mutation.syntax import callee, is_label, label_of

_EMPTY = ("zeros", "zeros_like", "empty", "empty_like")
Found = Iterator[tuple[ast.AST | None, Codes, str]]
_OTHER: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}


def updates(site: Site) -> Found:
    """a += b: a = b, a -= b, nothing; and so for -=, *=, /=."""
    node = site.node
    if not isinstance(node, ast.AugAssign) or type(node.op) not in _OTHER:
        return
    flipped = ast.AugAssign(node.target, _OTHER[type(node.op)](), node.value)
    plain = ast.Assign([node.target], node.value)
    if isinstance(site.value(node.target), int | np.integer):  # a place that moves on
        for new, kind in ((plain, "assigned"), (None, "left out"), (flipped, "sign")):
            yield new, PLACE | codes("scale"), kind
        return
    if _chooses(site, node.target):
        # dz[z < 0] *= slope: without it the condition says nothing, and the slope is missing.
        lost = of_lost(site, node.value, node.target) - NUMERIC
        alone = of_lost(site, node.target, node.value) | another(site, node.value, node.target)
        yield plain, lost | alone, "assigned"
        yield None, lost | MASK | codes("missing-path missing-term"), "left out"
        opposite = SIGN if isinstance(node.op, ast.Add | ast.Sub) else INVERTED
        yield flipped, opposite, "inverted"
        return
    if isinstance(node.op, ast.Mult | ast.Div):
        number = numeric(site, node.value) if site.is_number(node.value) else codes()
        # Of a *= b the b alone is left: the factor a is missing, and b stands in its place.
        alone = of_lost(site, node.target, node.value) | another(site, node.value, node.target)
        if isinstance(node.op, ast.Div):
            alone |= INVERTED
        yield plain, alone, "assigned"
        yield None, of_lost(site, node.value, node.target), "left out"
        yield flipped, INVERTED | number, "inverted"
        return
    yield plain, _overwritten(site, node), "assigned"
    gone = of_summand(site, node.value)
    yield None, gone | (codes("zero skipped") if site.in_loop() else codes()), "left out"
    yield flipped, SIGN, "sign"


def _overwritten(site: Site, node: ast.AugAssign) -> Codes:
    """= for +=: only the last part is left.

    Where a path was there before (another statement gives the target a part, or the step before
    of a recurrence does), that path is missing; where one statement adds up the samples, not.
    """
    found = codes("overwritten")
    home = _home(node.target)
    inside = {n for p in site.parents if isinstance(p, ast.For) for n in ast.walk(p)}
    others = [
        n
        for n in ast.walk(site.function)
        if isinstance(n, ast.Assign | ast.AugAssign) and n is not node
        if n.lineno < node.lineno or n in inside
        for t in (n.targets if isinstance(n, ast.Assign) else [n.target])
        if _home(t) == home
    ]
    # A loop that is written over (one, other) goes through paths, not through samples.
    paths = any(isinstance(p, ast.For) and isinstance(p.iter, ast.Tuple) for p in site.parents)
    if paths or not all(_is_empty(n.value) for n in others) or not site.in_loop():
        found |= ADDED
        if is_label(node.value) and is_label(node.target):
            found |= another(site, node.value)  # that gradient stands where the sum belongs
    if isinstance(node.op, ast.Sub):
        found |= SIGN
    return found


def _chooses(site: Site, target: ast.expr) -> bool:
    """Whether a condition chooses the entries that a statement changes."""
    if not isinstance(target, ast.Subscript):
        return False
    held = site.value(target.slice)
    return isinstance(target.slice, ast.Compare) or (
        isinstance(held, np.ndarray) and held.dtype == bool
    )


def _home(node: ast.expr) -> str:
    """The array that a place is in: dx of dx[:, t], grads["w"] of grads["w"][i]."""
    while isinstance(node, ast.Subscript) and not isinstance(
        getattr(node.slice, "value", None), str
    ):
        node = node.value
    return ast.unparse(node)


def _is_empty(node: ast.expr) -> bool:
    """Zeros that a sum begins with, or a container of such."""
    if isinstance(node, ast.Dict | ast.DictComp | ast.List | ast.ListComp):
        return True
    if isinstance(node, ast.Constant):
        return node.value == 0
    return isinstance(node, ast.Call) and callee(node) in (
        "zeros",
        "zeros_like",
        "empty",
        "empty_like",
    )


def scatters(site: Site) -> Found:
    """np.add.at(a, i, b): a[i] += b, which keeps one of the parts of a repeated index."""
    node = site.node
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return
    call = node.value
    if ast.unparse(call.func) != "np.add.at":
        return
    buffer, index, part = call.args
    place = ast.Subscript(buffer, index, ast.Store())
    yield ast.AugAssign(place, ast.Add(), part), codes("overwritten"), "assigned"
    yield None, codes("zero missing-path"), "left out"


def assignments(site: Site) -> Found:
    """No statement, where the name or the buffer has a value before."""
    node = site.node
    if not isinstance(node, ast.Assign):
        return
    target = node.targets[0]
    if isinstance(target, ast.Subscript):
        place = target.slice
        if isinstance(place, ast.Constant) and isinstance(place.value, str):
            return  # an entry of a dictionary: no gradient at all
        accepted = codes("zero missing-path missing-term")
        if _chooses(site, target):  # dz[z <= 0] = 0 is the mask
            accepted |= MASK
        elif site.in_loop():  # one of the rows is never filled, or none
            accepted |= codes("some-entries skipped")
        yield None, accepted, "left out"
    elif is_label(target):
        inside = [
            n for n in ast.walk(node.value) if is_label(n) and label_of(n) == label_of(target)
        ]
        if inside:
            yield None, _undone(site, node.value, label_of(target)), "left out"


def _undone(site: Site, value: ast.expr, name: str) -> Codes:
    """What was to be done to a variable: x = x / N, x = x - m, x = x.T, x = f(x)."""
    match value:
        case ast.BinOp(op=ast.Mult() | ast.Div() | ast.MatMult()):
            own, lost = value.left, value.right
            if not _holds(own, name):
                own, lost = lost, own
            return of_lost(site, lost, own)
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            own, lost = value.left, value.right
            if not _holds(own, name):
                own, lost = lost, own
            return of_summand(site, lost)
        case ast.Attribute(attr="T"):
            return TRANSPOSED
        case ast.Call():
            if callee(value) in ("sum", "mean"):
                return codes("missing-sum")
            if callee(value) in ("transpose", "swapaxes", "reshape"):
                return TRANSPOSED
            if callee(value) == "multiply":
                lost = next((a for a in value.args if not _holds(a, name)), value)
                return of_lost(site, lost, None)
    return codes("wrong-function missing-factor")


def _holds(node: ast.AST, name: str) -> bool:
    return any(is_label(n) and label_of(n) == name for n in ast.walk(node))


OPERATORS = (updates, scatters, assignments)
