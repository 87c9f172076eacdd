"""Sums, products, powers and matrix products."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutation.key import (
    CONSTANT,
    INVERTED,
    MASK,
    NUMERIC,
    OPERATOR,
    SIGN,
    TRANSPOSED,
    Codes,
    another,
    codes,
    numeric,
    of_exponent,
    of_lost,
    of_place,
    of_summand,
)
from tests.mutation.site import Site
from tests.mutation.syntax import callee, is_given_to, is_label

Found = Iterator[tuple[ast.AST | None, Codes, str]]
_NOTHING = codes()


def sums(site: Site) -> Found:
    """a + b and a - b: the other sign, a product, one of the two alone, the two the other way."""
    node = site.node
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Add | ast.Sub):
        return
    left, right = node.left, node.right
    minus = isinstance(node.op, ast.Sub)
    other = ast.BinOp(left, ast.Add() if minus else ast.Sub(), right)
    product = ast.BinOp(left, ast.Mult(), right)
    alternatives = ((other, "sign"), (product, "operator"), (left, "left out"), (right, "left out"))
    if site.in_exponent() or of_place(site) is not None:
        yield from _elsewhere(site, node, alternatives)
        return
    # Of two numbers another number is made: a constant factor, or the wrong number in a sum.
    both = site.is_number(left) and site.is_number(right)
    number = numeric(site, left, right) | CONSTANT if both else _NOTHING
    if site.is_mask():  # 1 - mask: the condition is another one
        number |= MASK
    yield other, SIGN | number | (of_summand(site, right) & codes("guard constant")), "sign"
    yield product, OPERATOR | number, "operator"
    if minus:  # p - y for y - p; of 1 - mask the mask is turned around
        turned = MASK if site.is_switch(right) and site.is_number(left) else _NOTHING
        yield ast.BinOp(right, ast.Sub(), left), SIGN | number | turned, "swapped"
    for kept, lost in ((left, right), (right, left)):
        accepted = of_summand(site, lost) | number
        if site.is_number(kept):  # as a factor the 1 of 1 - a says nothing any more
            accepted |= of_lost(site, lost, kept) - NUMERIC
        if is_label(kept):  # what is left has a name: that value stands where the sum belongs
            accepted |= another(site, kept, node)
        if kept is right and minus:  # 1 - a was to be subtracted, a is added
            accepted |= SIGN
            accepted |= MASK if site.is_switch(right) else _NOTHING
        if kept is right and is_given_to(left, site.parent):  # of a = a + b: = for +=
            accepted |= codes("overwritten")
        yield kept, accepted, "left out"


def _elsewhere(site: Site, node: ast.expr, alternatives: tuple[tuple[ast.expr, str], ...]) -> Found:
    """Arithmetic of an exponent, a place, a condition: what is wrong is that, not a formula."""
    for new, kind in alternatives:
        if site.in_exponent():
            yield new, of_exponent(site, site.value(node), site.value(new)), kind
        else:
            # p = i + stride for p = i * stride is a wrong operator all the same.
            placed = site.in_place() or site.in_call("slice")
            wrong = OPERATOR if placed and kind == "operator" else _NOTHING
            yield new, (of_place(site) or _NOTHING) | wrong, kind


def products(site: Site) -> Found:
    """a * b and a / b: the other one, a sum, one of the two alone, the quotient turned around."""
    node = site.node
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult | ast.Div):
        return
    left, right = node.left, node.right
    divided = isinstance(node.op, ast.Div)
    other = ast.BinOp(left, ast.Mult() if divided else ast.Div(), right)
    added = ast.BinOp(left, ast.Add(), right)
    alternatives = (
        (other, "inverted"),
        (added, "operator"),
        (left, "left out"),
        (right, "left out"),
    )
    if site.in_exponent() or of_place(site) is not None:
        yield from _elsewhere(site, node, alternatives)
        return
    both = site.is_number(left) and site.is_number(right)
    numbers = numeric(site, left, right) if both else _NOTHING
    twice = ast.dump(left) == ast.dump(right)
    # A number on the other side of the line is another constant factor.
    number = numeric(site, right) if site.is_number(right) else _NOTHING
    yield other, INVERTED | number, "inverted"
    # y + y is 2 y, where y to the power 2 belongs.
    yield (
        added,
        OPERATOR | numbers | (codes("power") if twice else _NOTHING),
        "operator",
    )
    if divided:
        yield (
            ast.BinOp(right, ast.Div(), left),
            INVERTED | numbers,
            "swapped",
        )
    for kept, lost in ((left, right), (right, left)):
        accepted = of_lost(site, lost, kept)
        if kept is right and divided:  # the divisor became a factor
            accepted |= INVERTED
        if twice and not divided:  # of y * y a y is left
            accepted |= codes("power")
        if site.has_name(node) or isinstance(site.parent, ast.Assign):
            accepted |= another(site, kept, node)  # it stands where the value of that name belongs
        yield kept, accepted, "left out"


def powers(site: Site) -> Found:
    """a ** b: a product, a alone."""
    node = site.node
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Pow):
        return
    exponent = site.value(node.right)
    inner = Site(node.right, [*site.parents, node], site.values, site.gradients)
    power = of_place(site) or of_exponent(inner, exponent, 1)
    product = power | OPERATOR
    if exponent is not None and not isinstance(exponent, tuple) and exponent < 0:
        product |= SIGN | codes("inverted-factor")  # a * -1 for a ** -1
    yield ast.BinOp(node.left, ast.Mult(), node.right), product, "operator"
    yield node.left, power, "left out"


def matrix_products(site: Site) -> Found:
    """a @ b and np.dot(a, b): the operands in the other order, an elementwise product."""
    node = site.node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        left, right = node.left, node.right
        yield ast.BinOp(right, node.op, left), TRANSPOSED, "swapped"
    elif isinstance(node, ast.Call) and callee(node) in ("dot", "matmul", "outer"):
        if len(node.args) == 2:
            left, right = node.args
            yield ast.Call(node.func, [right, left], []), TRANSPOSED, "swapped"
        elif len(node.args) == 1 and isinstance(node.func, ast.Attribute):
            left, right = node.func.value, node.args[0]
            turned = ast.Attribute(right, node.func.attr, ast.Load())
            yield ast.Call(turned, [left], []), TRANSPOSED, "swapped"
        else:
            return
    else:
        return
    yield ast.BinOp(left, ast.Mult(), right), OPERATOR | codes("missing-sum"), "operator"


def negations(site: Site) -> Found:
    """No minus, no not, no ~."""
    node = site.node
    if not isinstance(node, ast.UnaryOp):
        return
    if isinstance(node.op, ast.Invert | ast.Not):  # the mask is turned around
        yield node.operand, MASK, "sign"
    elif isinstance(node.op, ast.USub):
        value = site.value(node.operand)
        if site.in_exponent():
            accepted = of_exponent(site, None if value is None else -value, value)
        elif site.in_range():  # a loop that counts up, or never runs
            accepted = codes("skipped some-entries step-order")
        else:
            plain = site.is_number(node.operand)
            number = numeric(site, node.operand) | CONSTANT if plain else _NOTHING
            accepted = of_place(site) or SIGN | number
        yield node.operand, accepted, "sign"


OPERATORS = (sums, products, powers, matrix_products, negations)
