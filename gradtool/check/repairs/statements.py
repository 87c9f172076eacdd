"""Statements: = for +=, a loop that takes other steps, results in another order."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradtool.check.repairs.arithmetic import OPPOSITE
from gradtool.check.repairs.calls import exchanged
from gradtool.check.repairs.fix import Fix, shown
from gradtool.check.repairs.scope import Scope, Surroundings


def fixes(node: ast.stmt, scope: Scope, around: Surroundings) -> Iterator[Fix]:
    if isinstance(node, ast.Assign | ast.AugAssign):
        yield from _at_labels(node, scope)
    if isinstance(node, ast.Expr):
        yield from _collected(node)
    match node:
        case ast.Assign(targets=[ast.Name() | ast.Subscript() | ast.Attribute() as target]):
            if isinstance(target, ast.Subscript):
                text, code = f"{shown(node)} does not belong there", "some-entries"
                if scope.holds_gradient(target.value) and _is_a_slope(node.value):
                    text, code = f"a slope replaces the gradient: {shown(node)}", "upstream-ignored"
                yield Fix(node, (ast.Pass(),), code, 1.1, text)
            if isinstance(node.value, ast.Constant) and not node.value.value:
                return  # nothing is added
            if ast.unparse(target) in {ast.unparse(part) for part in ast.walk(node.value)}:
                return  # what was there is in it already
            sums: tuple[tuple[ast.operator, str, float], ...] = (
                (ast.Add(), "+=", 1.0),
                (ast.Sub(), "-=", 1.15),
            )
            for op, word, cost in sums:
                text = f"= stands where {word} belongs: {shown(node)}"
                added = ast.AugAssign(target, op, node.value)
                yield Fix(node, (added,), "overwritten", cost, text)
            yield from _repeated(node, target, ast.Add(), node.value)
            likely = 1.15 if scope.is_number(node.value) else 1.4
            factors: tuple[tuple[ast.operator, str, float], ...] = (
                (ast.Mult(), "*=", likely),
                (ast.Div(), "/=", likely),
            )
            for times, word, cost in factors:  # what was there is lost, and was a factor
                text = f"= stands where {word} belongs: {shown(node)}"
                grown = ast.AugAssign(target, times, node.value)
                yield Fix(node, (grown,), "missing-factor", cost, text)
        case ast.AugAssign(target=target, op=op, value=value):
            code = "accumulated" if isinstance(op, ast.Add | ast.Sub) else "extra-factor"
            yield Fix(node, (ast.Pass(),), code, 1.2, f"{shown(node)} does not belong there")
            how = "added to" if code == "accumulated" else "combined with"
            text = f"it is {how} what was there: {shown(node)}"
            yield Fix(node, (ast.Assign([target], value),), code, 1.1, text)
            opposite = OPPOSITE.get(type(op))
            if opposite is not None:
                adds = isinstance(op, ast.Add | ast.Sub)
                code = "sign" if adds else "inverted-factor"
                said = "the sign" if adds else "the operator"
                new = ast.AugAssign(target, opposite(), value)
                yield Fix(node, (new,), code, 1.0, f"{said} of {shown(node)} is wrong")
            if isinstance(op, ast.Add | ast.Sub):
                yield from _repeated(node, target, op, value)
                scaled = ast.AugAssign(target, ast.Mult(), value)
                text = f"a sum stands where a product belongs: {shown(node)}"
                yield Fix(node, (scaled,), "operator", 1.35, text)
        case ast.Assign(targets=targets, value=ast.Tuple(elts=values)):
            for first, second, others in exchanged(values):
                text = f"{shown(values[first])} and {shown(values[second])} have changed places"
                turned = ast.Assign(targets, ast.Tuple(others, ast.Load()))
                place = {around.role(values[first]), around.role(values[second])} == {"index"}
                yield Fix(node, (turned,), "offset" if place else "wrong-tensor", 1.0, text)
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=value) if not _is_shape(value):
            for first, second, others in exchanged(names):
                text = f"{shown(names[first])} and {shown(names[second])} have changed places"
                turned = ast.Assign([ast.Tuple(others, ast.Store())], value)
                place = around.is_place(names[first]) and around.is_place(names[second])
                code, cost = ("offset", 1.05) if place else ("wrong-tensor", 1.2)
                yield Fix(node, (turned,), code, cost, f"{text}: {shown(node)}")
        case ast.Return(value=ast.Tuple(elts=results)):
            for first, second, others in exchanged(results):
                text = f"{shown(results[first])} and {shown(results[second])} have changed places"
                yield Fix(node, (ast.Return(ast.Tuple(others, ast.Load())),), "order", 0.9, text)


def _at_labels(node: ast.Assign | ast.AugAssign, scope: Scope) -> Iterator[Fix]:
    """One entry of each row, ``dx[arange(N), y] -= 1``: of every row all, or a number for a sum."""
    match node:
        case (
            ast.Assign(targets=[ast.Subscript() as target])
            | ast.AugAssign(target=ast.Subscript() as target)
        ):
            pass
        case _:
            return
    match target:
        case ast.Subscript(
            value=whole, slice=ast.Tuple(elts=[ast.Slice(lower=None, upper=None, step=None), at])
        ) if not scope.is_number(at):
            rows = ast.Call(_of_numpy("arange"), [ast.Call(ast.Name("len"), [whole], [])], [])
            apart = ast.Subscript(whole, ast.Tuple([rows, at], ast.Load()), ast.Store())
            text = f"every row is changed at the places of all rows: {shown(node)}"
            yield Fix(node, (_changed(node, apart, node.value),), "some-entries", 1.2, text)
    # The same row also gets what its other entries sum to: minus as many as are active.
    minus = isinstance(node.value, ast.UnaryOp) and isinstance(node.value.op, ast.USub)
    number = node.value.operand if isinstance(node.value, ast.UnaryOp) else node.value
    if isinstance(target.slice, ast.Tuple) and isinstance(number, ast.Constant):
        total = ast.Call(ast.Attribute(target.value, "sum", ast.Load()), [ast.Constant(1)], [])
        value = ast.UnaryOp(ast.USub(), total) if minus else total
        text = f"one number stands where the sum of a row belongs: {shown(node)}"
        yield Fix(node, (_changed(node, target, value),), "missing-sum", 1.3, text)


def _is_a_slope(value: ast.expr) -> bool:
    """Whether a value is a number other than zero, as the slope of a relu is where it is active."""
    return isinstance(value, ast.Constant) and bool(value.value)


def _changed(
    node: ast.Assign | ast.AugAssign, target: ast.Subscript, value: ast.expr
) -> ast.Assign | ast.AugAssign:
    if isinstance(node, ast.AugAssign):
        return ast.AugAssign(target, node.op, value)
    return ast.Assign([target], value)


def _of_numpy(name: str) -> ast.expr:
    return ast.Attribute(ast.Name("np", ast.Load()), name, ast.Load())


def _is_shape(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "shape"


def loops(steps: ast.expr, around: Surroundings) -> Iterator[Fix]:
    """What a loop runs over."""
    loop, name = around.parent(steps)
    if not isinstance(loop, ast.For) or name != "iter":
        return
    header = f"for {shown(loop.target)} in {shown(steps)}"
    turned = ast.Call(ast.Name("reversed", ast.Load()), [steps], [])
    text = f"the loop runs over the steps in the wrong order: {header}"
    yield Fix(steps, turned, "step-order", 1.1, text)
    text, one = f"the loop takes the wrong steps: {header}", ast.Constant(1)
    match steps:
        case ast.Call(func=ast.Name(id="range") as name_of, args=[stop]):
            for arguments in (
                [ast.BinOp(stop, ast.Add(), one)],
                [ast.BinOp(stop, ast.Sub(), one)],
                [one, stop],
            ):
                yield Fix(steps, ast.Call(name_of, list(arguments), []), "skipped", 1.2, text)
        case ast.Call(func=ast.Name(id="range") as name_of, args=[ast.expr(), stop]):
            yield Fix(steps, ast.Call(name_of, [stop], []), "skipped", 1.15, text)


def _as_argument(index: ast.expr) -> ast.expr:
    """An index as an argument: ``slice(None)`` for ``:``."""
    match index:
        case ast.Tuple(elts=entries):
            return ast.Tuple([_as_argument(entry) for entry in entries], ast.Load())
        case ast.Slice(lower=lower, upper=upper, step=step):
            none: ast.expr = ast.Constant(None)
            whole = lower is upper is step is None
            ends = [none] if whole else [end or none for end in (lower, upper, step)]
            return ast.Call(ast.Name("slice", ast.Load()), ends, [])
    return index


def _collected(node: ast.Expr) -> Iterator[Fix]:
    """What each step puts behind the others and belongs before them, or the other way."""
    match node.value:
        case ast.Call(func=ast.Attribute(value=steps, attr="append"), args=[one], keywords=[]):
            name, arguments = "insert", [ast.Constant(0), one]
        case ast.Call(
            func=ast.Attribute(value=steps, attr="insert"),
            args=[ast.Constant(value=0), one],
            keywords=[],
        ):
            name, arguments = "append", [one]
        case _:
            return
    text = f"what the steps give is collected in the wrong order: {shown(node)}"
    call = ast.Call(ast.Attribute(steps, name, ast.Load()), arguments, [])
    yield Fix(node, (ast.Expr(call),), "step-order", 1.05, text)


def _repeated(
    node: ast.Assign | ast.AugAssign, target: ast.expr, op: ast.operator, value: ast.expr
) -> Iterator[Fix]:
    """``x[i] += v`` adds once to an entry that the array ``i`` names several times, and ``=`` keeps
    the last."""
    if not isinstance(target, ast.Subscript) or isinstance(target.slice, ast.Constant):
        return
    name = "add" if isinstance(op, ast.Add) else "subtract"
    at = ast.Attribute(
        ast.Attribute(ast.Name("np", ast.Load()), name, ast.Load()), "at", ast.Load()
    )
    call = ast.Call(at, [target.value, _as_argument(target.slice), value], [])
    text = f"an entry that is named several times is changed once: {shown(node)}"
    if isinstance(node, ast.Assign):
        text = f"an entry that is named several times keeps what comes last: {shown(node)}"
    yield Fix(node, (ast.Expr(call),), "overwritten", 1.0, text)
