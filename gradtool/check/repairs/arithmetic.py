"""Operators and numbers: another sign, a quotient for a product, one more or less."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeAlias, TypeGuard

from gradtool.check.repairs.fix import Fix, shown
from gradtool.check.repairs.scope import Role, Scope, Surroundings, callee, node_of

# What a wrong number, or a sum that is a little off, means where it is no value.
MEANING: dict[Role, tuple[str, str]] = {
    "axis": ("wrong-axis", "the wrong axis"),
    "flag": ("wrong-axis", "the wrong dimensions are kept"),
    "index": ("offset", "the wrong place"),
    "exponent": ("power", "the wrong power"),
    "condition": ("mask", "the wrong condition"),
    "range": ("skipped", "the loop takes the wrong steps"),
    "shape": ("wrong-axis", "the wrong size"),
    "padding": ("padding", "the wrong padding"),
}
OPPOSITE: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
}  # fmt: skip
_ORDERED = frozenset({"argmax", "argmin", "max", "min", "maximum", "minimum"})


def fixes(node: ast.expr, scope: Scope, around: Surroundings) -> Iterator[Fix]:
    role = around.role(node)
    if isinstance(node, ast.BinOp) and role == "value":
        yield from _brackets(node)
    match node:
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            yield from _sums(node, role, scope)
            yield from _slope_of_tanh(node) if role == "value" else ()
        case ast.BinOp(op=ast.Mult() | ast.Div()):
            yield from _products(node, role, scope)
        case ast.BinOp(op=ast.Pow()):
            yield from _powers(node)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            code, what = "sign", f"a minus too many: {shown(node)}"
            if role == "exponent":
                code = "inverted-factor"
            elif is_shape(around.parent(node)[0]):
                code, what = "wrong-axis", f"the size of another axis: {shown(node)}"
            elif role != "value":
                code, _, what = _told(role, node, 1.0)
            yield Fix(node, operand, code, 1.0, what)
        case ast.UnaryOp(op=ast.Invert() | ast.Not(), operand=operand):
            yield Fix(node, operand, "mask", 1.02, f"the mask is turned around: {shown(node)}")
        case ast.Constant(value=bool() as value):
            yield Fix(node, ast.Constant(not value), *_told(role, node, 1.2))
        case ast.Constant(value=int() | float()):
            yield from _numbers(node, role, around)
        case ast.Compare(ops=[op], comparators=[right]):
            said = f"another condition than {shown(node)}"
            for other in (ast.Gt, ast.GtE, ast.Lt, ast.LtE, ast.Eq, ast.NotEq):
                if not isinstance(op, other):
                    new = ast.Compare(node.left, [other()], [right])
                    yield Fix(node, new, "mask", 1.1, said)
    own = scope.value(node)
    if own is not None and own.kind == "mask" and role in ("value", "index", "condition"):
        turned = ast.UnaryOp(ast.Invert(), node)
        cost = 1.08 if role == "index" else 1.12
        yield Fix(node, turned, "mask", cost, f"the mask is turned around: {shown(node)}")
    if role == "value" and _takes_minus(node, around):
        minus = ast.UnaryOp(ast.USub(), node)
        parent, _ = around.parent(node)
        cost = 1.2 if isinstance(parent, ast.Call) else 1.02
        if isinstance(parent, ast.Call) and callee(parent.func) in _ORDERED:
            cost = 1.32  # rather the other of the two functions
        if isinstance(parent, ast.Assign) and not scope.holds_gradient(node):
            cost = 1.27  # signs are lost where gradients are computed
        yield Fix(node, minus, "sign", cost, f"the minus before {shown(node)} is missing")


def _brackets(node: ast.BinOp) -> Iterator[Fix]:
    """The same operators and operands with other brackets."""
    text = f"the brackets are wrong in {shown(node)}"
    left, right = node.left, node.right
    if isinstance(left, ast.BinOp):
        inner = ast.BinOp(left.right, node.op, right)
        yield Fix(node, ast.BinOp(left.left, left.op, inner), _meaning(left.op, node.op), 1.3, text)
    if isinstance(right, ast.BinOp):
        inner = ast.BinOp(left, node.op, right.left)
        yield Fix(node, ast.BinOp(inner, right.op, right.right),
                  _meaning(node.op, right.op), 1.3, text)  # fmt: skip
    # Of several factors: (a + b) * c * d for a + b * c * d, and the other way.
    first, factors = _spine(node)
    if len(factors) > 1 and _is_sum(first):
        apart = ast.BinOp(first.left, first.op, _grown(first.right, factors))
        yield Fix(node, apart, "missing-factor", 1.3, text)
    first, factors = _spine(right)
    if len(factors) > 1 and _is_sum(node):
        whole = _grown(ast.BinOp(left, node.op, first), factors)
        yield Fix(node, whole, "missing-factor", 1.3, text)


_Factors: TypeAlias = list[tuple[ast.operator, ast.expr]]


def _spine(node: ast.expr) -> tuple[ast.expr, _Factors]:
    """What a product begins with, and by what it is multiplied and divided then, in turn."""
    factors: _Factors = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
        factors.insert(0, (node.op, node.right))
        node = node.left
    return node, factors


def _grown(node: ast.expr, factors: _Factors) -> ast.expr:
    for op, factor in factors:
        node = ast.BinOp(node, op, factor)
    return node


def _is_sum(node: ast.expr) -> TypeGuard[ast.BinOp]:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)


def _meaning(outer: ast.operator, inner: ast.operator) -> str:
    """What other brackets between two operators do."""
    kinds = {type(outer), type(inner)}
    if ast.Pow in kinds:
        return "power"
    sums = kinds & {ast.Add, ast.Sub}
    if sums and kinds & {ast.Mult, ast.Div, ast.MatMult}:
        return "missing-factor"
    return "sign" if sums else "inverted-factor"


def _told(role: Role, node: ast.AST, cost: float) -> tuple[str, float, str]:
    code, what = MEANING.get(role, ("constant", "a wrong value"))
    return code, cost, f"{what}: {shown(node)}"


def _sums(node: ast.BinOp, role: Role, scope: Scope) -> Iterator[Fix]:
    left, right = node.left, node.right
    flipped = ast.BinOp(left, OPPOSITE[type(node.op)](), right)
    said = f"the sign before {shown(right)} is wrong"
    if role != "value":
        code, cost, what = _told(role, node, 1.15)
        yield Fix(node, flipped, code, cost, what)
        yield Fix(node, left, code, cost + 0.05, what)
        yield Fix(node, right, code, cost + 0.15, what)
        if role == "index":
            text = f"a step is added where a place counts in steps: {shown(node)}"
            yield Fix(node, ast.BinOp(left, ast.Mult(), right), "stride-ignored", 1.3, text)
        return
    yield Fix(node, flipped, "sign", 1.0, said)
    if isinstance(node.op, ast.Sub):
        turned = ast.BinOp(right, ast.Sub(), left)
        yield Fix(node, turned, "sign", 1.05, f"{shown(node)} is turned around")
    sign = "+" if isinstance(node.op, ast.Add) else "-"
    one = any(isinstance(side, ast.Constant) and side.value == 1 for side in (left, right))
    others = ((ast.Mult(), 1.2), (ast.Div(), 1.25), (ast.MatMult(), 1.3))
    for op, cost in () if one else others:  # beside a factor of 1 any operator is as good
        text = f"{sign} stands where a product or a quotient belongs: {shown(node)}"
        yield Fix(node, ast.BinOp(left, op, right), "operator", cost, text)
    for kept, extra in ((left, right), (right, left)):
        if not scope.is_number(extra) and (isinstance(node.op, ast.Add) or kept is left):
            text = f"{shown(extra)} does not belong in {shown(node)}"
            cost = 1.35 if scope.holds_gradient(extra) else 1.2
            yield Fix(node, kept, "accumulated", cost, text)
        if scope.is_number(extra):
            code = "scale" if scope.is_number(kept) else "constant"
            yield Fix(node, kept, code, 1.1, f"{shown(extra)} does not belong in {shown(node)}")


def _products(node: ast.BinOp, role: Role, scope: Scope) -> Iterator[Fix]:
    left, right = node.left, node.right
    divides = isinstance(node.op, ast.Div)
    flipped = ast.BinOp(left, OPPOSITE[type(node.op)](), right)
    if role != "value":
        code, cost, what = _told(role, node, 1.25)
        yield Fix(node, flipped, code, cost, what)
        yield Fix(node, left, code, cost, what)
        yield Fix(node, right, code, cost, what)
        yield Fix(node, ast.BinOp(left, ast.Add(), right), code, cost, what)
        return
    word = "divided by" if divides else "multiplied by"
    # What the change moves to the other side of the line is `right`, or in a product `left`.
    text = f"it is {word} {shown(right)}, not the other way: {shown(node)}"
    code = "scale" if scope.is_number(right) else "inverted-factor"
    yield Fix(node, flipped, code, 1.1, text)
    if not divides:
        text = f"it is {word} {shown(left)}, not the other way: {shown(node)}"
    code = "scale" if scope.is_number(left) and not divides else "inverted-factor"
    yield Fix(node, ast.BinOp(right, ast.Div(), left), code, 1.25, text)
    symbol = "/" if divides else "*"
    for op, cost in ((ast.Add(), 1.2), (ast.Sub(), 1.22)):
        text = f"{symbol} stands where a sum or a difference belongs: {shown(node)}"
        yield Fix(node, ast.BinOp(left, op, right), "operator", cost, text)
    if not divides:
        text = f"* stands where a matrix product belongs: {shown(node)}"
        yield Fix(node, ast.BinOp(left, ast.MatMult(), right), "operator", 1.25, text)
        if isinstance(right, ast.Constant | ast.UnaryOp) and scope.is_number(right):
            text = f"a product stands where a power belongs: {shown(node)}"
            yield Fix(node, ast.BinOp(left, ast.Pow(), right), "power", 1.25, text)
            minus = ast.BinOp(left, ast.Pow(), ast.UnaryOp(ast.USub(), right))
            yield Fix(node, minus, "power", 1.35, text)
    yield from _several(node)
    yield from _signs(node, scope)
    yield from _slopes(node, scope)
    sides = ((left, right),) if divides else ((left, right), (right, left))
    for kept, extra in sides:
        code = "scale" if scope.is_number(extra) else "extra-factor"
        by = "division by" if divides else "factor"
        text = f"the {by} {shown(extra)} does not belong in {shown(node)}"
        plain = isinstance(extra, ast.Name | ast.Attribute | ast.Constant)
        yield Fix(node, kept, code, 1.2 if plain else 1.3, text)


def _signs(node: ast.BinOp, scope: Scope) -> Iterator[Fix]:
    """``2 * e``, the slope of a square, where that of an absolute value belongs."""
    match node:
        case ast.BinOp(left=ast.Constant(value=2), op=ast.Mult(), right=error) if (
            not scope.of_output and not scope.is_number(error)
        ):
            sign = ast.Attribute(ast.Name("np", ast.Load()), "sign", ast.Load())
            text = f"the slope of a square stands for another one: {shown(node)}"
            yield Fix(node, ast.Call(sign, [error], []), "wrong-function", 1.22, text)


def _several(node: ast.BinOp) -> Iterator[Fix]:
    """Two factors that do not belong: ``(a - y) * a * (1 - a)``."""
    match node:
        case ast.BinOp(
            left=ast.BinOp(left=kept, op=ast.Mult(), right=one), op=ast.Mult(), right=other
        ):
            text = f"the factors {shown(one)} and {shown(other)} do not belong in {shown(node)}"
            yield Fix(node, kept, "extra-factor", 1.3, text)


def _slopes(node: ast.BinOp, scope: Scope) -> Iterator[Fix]:
    """``a * (1 - a)``, the slope of a sigmoid, where that of tanh belongs, or of ``z * a``."""
    match node:
        case ast.BinOp(
            left=value,
            op=ast.Mult(),
            right=ast.BinOp(left=ast.Constant(value=1), op=ast.Sub(), right=again),
        ):
            around: ast.expr | None = None
            if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult):  # g * a * (1 - a)
                around, value = value.left, value.right
            if ast.dump(value) != ast.dump(again):
                return
            square = ast.BinOp(value, ast.Pow(), ast.Constant(2))
            text = f"the slope of a sigmoid stands for another one: {shown(node)}"
            slopes: list[tuple[ast.expr, float]] = [
                (ast.BinOp(ast.Constant(1), ast.Sub(), square), 1.12),
                (ast.Compare(value, [ast.Gt()], [ast.Constant(0)]), 1.4),
            ]
            own = scope.value(value)
            for label, other in scope.values.items():
                if own is not None and other == own and label != scope.label(value):
                    more = ast.BinOp(
                        node_of(label), ast.Mult(), ast.BinOp(ast.Constant(1), ast.Sub(), value)
                    )
                    swish = ast.BinOp(ast.Constant(1), ast.Add(), more)
                    slopes.append((ast.BinOp(value, ast.Mult(), swish), 1.22))
            for slope, cost in slopes:
                new = slope if around is None else ast.BinOp(around, ast.Mult(), slope)
                yield Fix(node, new, "wrong-function", cost, text)


def _slope_of_tanh(node: ast.BinOp) -> Iterator[Fix]:
    """``1 - a**2``, the slope of tanh, where that of a sigmoid belongs."""
    match node:
        case ast.BinOp(
            left=ast.Constant(value=1),
            op=ast.Sub(),
            right=ast.BinOp(left=value, op=ast.Pow(), right=ast.Constant(value=2))
            | ast.BinOp(left=value, op=ast.Mult())
            | ast.Call(func=ast.Attribute(attr="power" | "square"), args=[value, *_]),
        ):
            new = ast.BinOp(value, ast.Mult(), ast.BinOp(ast.Constant(1), ast.Sub(), value))
            text = f"the slope of tanh stands for another one: {shown(node)}"
            yield Fix(node, new, "wrong-function", 1.12, text)


def _powers(node: ast.BinOp) -> Iterator[Fix]:
    base, exponent = node.left, node.right
    text = f"the wrong power: {shown(node)}"
    yield Fix(node, base, "power", 1.1, text)
    minus = ast.BinOp(base, ast.Pow(), ast.UnaryOp(ast.USub(), exponent))
    yield Fix(node, minus, "inverted-factor", 1.1, text)
    yield Fix(node, ast.BinOp(base, ast.Mult(), exponent), "power", 1.3, text)


def _numbers(node: ast.Constant, role: Role, around: Surroundings) -> Iterator[Fix]:
    value = node.value
    assert isinstance(value, int | float)
    if role == "axis":
        others: list[int | float | None] = [0, 1, 2, -1, -2, None]
    else:
        others = [value + 1, value - 1, value * 2, value / 2, -value]
    if role == "condition" or isinstance(around.parent(node)[0], ast.AugAssign):
        others.append(0)  # z > 0.01; dz[z <= 0] *= 0.01
    parent = direct = around.parent(node)[0]
    if isinstance(direct, ast.UnaryOp):
        parent = around.parent(direct)[0]
    place = parent if role in ("axis", "index", "condition") else node
    code, cost, what = _told(role, place, 1.15)
    if role == "value":
        summed = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Add | ast.Sub)
        code = "constant" if summed or isinstance(parent, ast.Assign) else "scale"
        what = f"the number {shown(node)} is wrong in {shown(parent)}"
        if not summed and value == 0:
            code, what = "missing-path", f"{shown(parent)} is zero: that path is missing"
    if role == "index" and is_shape(parent):
        code, what = "wrong-axis", f"the size of another axis: {shown(parent)}"
    if role == "shape":
        code, cost = "constant", 1.1  # a number in a shape says nothing else
    if role == "exponent":
        what = f"the wrong power: {shown(parent)}"
    for other in dict.fromkeys(others):
        # A value that is chosen or given, not a factor or a term.
        chosen = not isinstance(parent, ast.BinOp | ast.UnaryOp)
        if other == value or (other == 0 and role == "value" and not chosen):
            continue
        if isinstance(other, float) and other.is_integer() and isinstance(value, int):
            other = int(other)
        turned = other == -value and role == "value"
        yield Fix(node, ast.Constant(other), "sign" if turned else code, cost, what)
    if role == "exponent" and not isinstance(direct, ast.UnaryOp):
        yield Fix(node, ast.Constant(-value - 1), "inverted-factor", cost + 0.3, what)


def is_shape(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Attribute)
        and (node.value.attr == "shape")
    )


def _takes_minus(node: ast.expr, around: Surroundings) -> bool:
    """Whether a minus before a node is no other way to write one somewhere else."""
    if isinstance(node, ast.Constant | ast.UnaryOp | ast.Tuple | ast.List | ast.Compare):
        return False
    parent, name = around.parent(node)
    match parent:
        case ast.Assign() | ast.AugAssign() | ast.Return() | ast.Tuple():
            return True
        case ast.Call():
            return name == "args"
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            return name == "left"
    return False
