"""What goes wrong where a layer computes its output: variances, guards, activations, labels."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradtool.check.repairs.fix import Fix, shown
from gradtool.check.repairs.scope import Scope, Surroundings, callee, node_of

_ROOTS = frozenset({"sqrt", "log"})
_ACTIVATIONS = ("relu", "sigmoid", "tanh")
_OTHERS = ("abs", "absolute", "exp", "sin", "cos", "arctan", "softplus", "elu", "gelu", "sign")
_MOST_MATRICES = 12


def fixes(node: ast.expr, scope: Scope, around: Surroundings) -> Iterator[Fix]:
    match node:
        case ast.Call(func=ast.Attribute(attr="var" | "std" | "cov")):
            yield from _divisors(node)
        case ast.BinOp(op=ast.Add()):
            yield from _guards_out(node, scope)
        case ast.BinOp(op=ast.Div(), left=left, right=right):
            yield from _less_one(node, left, right, scope)
        case ast.Call(args=[ast.BinOp(op=ast.Add()) as inner]) if callee(node.func) in _ROOTS:
            yield from _guards_in(node, inner, scope)
    if around.role(node) == "index":
        yield from _labels(node, scope, around)


def further(node: ast.expr, scope: Scope, around: Surroundings) -> Iterator[Fix]:
    """An activation that is missing, too many, or another one; a product that is not added."""
    found = _activation(node)
    if found is not None:
        name, argument = found
        text = f"another function than {shown(node)}"
        for other in _ACTIVATIONS:
            if other != name:
                yield Fix(node, _applied(other, argument), "wrong-function", 1.37, text)
        text = f"an activation too many: {shown(node)}"
        yield Fix(node, argument, "wrong-function", 1.36, text)
    whole = isinstance(node, ast.Name | ast.BinOp) or (
        isinstance(node, ast.Call) and callee(node.func) in ("dot", "matmul")
    )
    value = scope.value(node)
    array = value is None or value.kind in ("array", "entry")
    if whole and array and around.role(node) == "value" and found is None:
        text = f"an activation is missing around {shown(node)}"
        for name in _ACTIVATIONS:
            yield Fix(node, _applied(name, node), "wrong-function", 1.38, text)
        yield from _products(node, scope)


def _products(node: ast.expr, scope: Scope) -> Iterator[Fix]:
    text = f"a term is missing beside {shown(node)}"
    arrays = [(n, v.shape) for n, v in scope.values.items() if v.kind == "array"]
    matrices = [(n, shape) for n, shape in arrays if len(shape) == 2]
    for one, first in matrices[:_MOST_MATRICES]:
        for other, second in matrices[:_MOST_MATRICES]:
            if one != other and first[1] == second[0]:
                product = ast.BinOp(node_of(one), ast.MatMult(), node_of(other))
                yield Fix(node, ast.BinOp(node, ast.Add(), product), "missing-term", 1.5, text)


def _less_one(node: ast.BinOp, left: ast.expr, right: ast.expr, scope: Scope) -> Iterator[Fix]:
    """A mean that is divided by one less than the count."""
    match right:
        case ast.BinOp(left=count, op=ast.Sub(), right=ast.Constant(value=1)):
            if scope.is_number(count):
                text = f"it is divided by the count less one: {shown(node)}"
                new = ast.BinOp(left, ast.Div(), count)
                yield Fix(node, new, "unbiased", 1.0, text)


def _divisors(node: ast.Call) -> Iterator[Fix]:
    """A variance that is divided by one less than the count."""
    rest = [k for k in node.keywords if k.arg != "ddof"]
    if len(rest) < len(node.keywords):
        text = f"the variance is divided by the count less one: {shown(node)}"
        yield Fix(node, ast.Call(node.func, node.args, rest), "unbiased", 0.9, text)
    else:
        one = ast.keyword("ddof", ast.Constant(1))
        text = f"the variance is divided by the count: {shown(node)}"
        new = ast.Call(node.func, node.args, [*node.keywords, one])
        yield Fix(node, new, "unbiased", 1.15, text)


def _guards_out(node: ast.BinOp, scope: Scope) -> Iterator[Fix]:
    """``sqrt(v) + eps`` where ``sqrt(v + eps)`` belongs."""
    for outer, guard in ((node.left, node.right), (node.right, node.left)):
        if not scope.is_number(guard):
            continue
        text = f"{shown(guard)} stands outside the root: {shown(node)}"
        match outer:
            case ast.Call(args=[inner, *rest]) if callee(outer.func) in _ROOTS:
                new: ast.expr = ast.Call(
                    outer.func, [ast.BinOp(inner, ast.Add(), guard), *rest], outer.keywords
                )
            case ast.BinOp(op=ast.Pow(), left=inner, right=ast.Constant(value=0.5)):
                new = ast.BinOp(ast.BinOp(inner, ast.Add(), guard), ast.Pow(), ast.Constant(0.5))
            case ast.Call(func=ast.Attribute(attr="std", value=owner)):
                variance = ast.Call(ast.Attribute(owner, "var", ast.Load()), outer.args,
                                    outer.keywords)  # fmt: skip
                summed = ast.BinOp(variance, ast.Add(), guard)
                new = ast.BinOp(summed, ast.Pow(), ast.Constant(0.5))
            case _:
                continue
        yield Fix(node, new, "guard", 1.05, text)


def _guards_in(node: ast.Call, inner: ast.BinOp, scope: Scope) -> Iterator[Fix]:
    """``sqrt(v + eps)`` where ``sqrt(v) + eps`` or ``sqrt(v)`` belongs."""
    for value, guard in ((inner.left, inner.right), (inner.right, inner.left)):
        if scope.is_number(guard):
            plain = ast.Call(node.func, [value], node.keywords)
            text = f"{shown(guard)} stands inside {callee(node.func)}: {shown(node)}"
            yield Fix(node, ast.BinOp(plain, ast.Add(), guard), "guard", 1.1, text)
            text = f"{shown(guard)} does not belong in {shown(node)}"
            yield Fix(node, plain, "guard", 1.05, text)


def _labels(node: ast.expr, scope: Scope, around: Surroundings) -> Iterator[Fix]:
    """Labels that choose an entry, counted from another number: an array in an index is labels."""
    value, (parent, _) = scope.value(node), around.parent(node)
    if value is not None and value.kind == "array" and not isinstance(parent, ast.BinOp):
        text = f"the labels are off by one: {shown(node)}"
        for op in (ast.Sub(), ast.Add()):
            yield Fix(node, ast.BinOp(node, op, ast.Constant(1)), "label-shift", 1.15, text)
    match node:
        case ast.BinOp(left=inner, op=ast.Add() | ast.Sub(), right=ast.Constant()):
            value = scope.value(inner)
            if value is not None and value.kind == "array":
                text = f"the labels are off by one: {shown(node)}"
                yield Fix(node, inner, "label-shift", 1.1, text)


def _activation(node: ast.expr) -> tuple[str, ast.expr] | None:
    """The name of an activation and what it is applied to."""
    match node:
        case ast.Call(func=function, args=[argument], keywords=[]):
            name = callee(function).lower()
            return (name, argument) if name in (*_ACTIVATIONS, *_OTHERS) else None
        case ast.Call(func=ast.Attribute(attr="maximum"), args=[ast.Constant(value=0), argument]):
            return "relu", argument
        case ast.Call(func=ast.Attribute(attr="maximum"), args=[argument, ast.Constant(value=0)]):
            return "relu", argument
        case ast.BinOp(
            left=ast.Constant(value=1),
            op=ast.Div(),
            right=ast.BinOp(
                left=ast.Constant(value=1),
                op=ast.Add(),
                right=ast.Call(
                    func=ast.Attribute(attr="exp"),
                    args=[ast.UnaryOp(op=ast.USub(), operand=argument)],
                ),
            ),
        ):
            return "sigmoid", argument
    return None


def _applied(name: str, argument: ast.expr) -> ast.expr:
    def called(function: str, *arguments: ast.expr) -> ast.expr:
        return ast.Call(
            ast.Attribute(ast.Name("np", ast.Load()), function, ast.Load()), list(arguments), []
        )

    if name == "tanh":
        return called("tanh", argument)
    if name == "relu":
        return called("maximum", ast.Constant(0), argument)
    one = ast.Constant(1)
    below = ast.BinOp(one, ast.Add(), called("exp", ast.UnaryOp(ast.USub(), argument)))
    return ast.BinOp(one, ast.Div(), below)
