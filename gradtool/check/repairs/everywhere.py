"""One value at all places where an expression has it: the slope of another gate, a stride."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from gradtool.check.repairs.fix import Fix, shown
from gradtool.check.repairs.names import keyed, wrong_value
from gradtool.check.repairs.scope import Scope, Surroundings, node_of

_SLOPE = 1.22
"""``a * (1 - a)`` of another ``a``: dearer than one name, as it is more that was mistaken."""


def fixes(node: ast.expr | ast.stmt, scope: Scope, around: Surroundings) -> Iterator[Fix]:
    """The changes of what several parts of a node have."""
    for places in around.repeated(node):
        yield from _others(node, places, scope, around)
        yield from _strides(node, places, scope, around)
    if isinstance(node, ast.Subscript):
        yield from _every_axis(node, node, scope, around)
    if isinstance(node, ast.Assign | ast.AugAssign):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Subscript):
                yield from _every_axis(node, target, scope, around)


def _others(
    node: ast.expr | ast.stmt, places: Sequence[ast.expr], scope: Scope, around: Surroundings
) -> Iterator[Fix]:
    """Another value at all these places."""
    first = places[0]
    if not isinstance(node, ast.expr) or around.role(first) != "value":
        return
    own, label = scope.value(first), scope.label(first)
    text = f"another value belongs there than {shown(first)} in {shown(node)}"
    for other in keyed(first, around):
        yield Fix(node, _filled(node, places, other), "wrong-tensor", _SLOPE, text)
    for name, value in scope.values.items() if own is not None and own.kind == "array" else ():
        if name != label and value == own:
            code = wrong_value(label, name, scope)
            yield Fix(node, _filled(node, places, node_of(name)), code, _SLOPE, text)


def _strides(
    node: ast.expr | ast.stmt, places: Sequence[ast.expr], scope: Scope, around: Surroundings
) -> Iterator[Fix]:
    """A stride that is forgotten where a window begins and where it ends: ``x[i : i + k]``."""
    own = scope.value(places[0])
    if own is None or own.kind != "whole" or around.role(places[0]) != "index":
        return
    text = f"a stride is missing beside {shown(places[0])} in {shown(node)}"
    for name, value in scope.values.items():
        if value.kind == "whole" and name != scope.label(places[0]):
            scaled = ast.BinOp(places[0], ast.Mult(), node_of(name))
            yield _changed(node, places, scaled, text, 1.2)


def _every_axis(
    node: ast.expr | ast.stmt, target: ast.Subscript, scope: Scope, around: Surroundings
) -> Iterator[Fix]:
    """The same along every axis: ``x[i : i + k, j : j + k]``, ``dx[i + a, j + b] += …``; of a
    place that is a sum also along one."""
    entries = target.slice.elts if isinstance(target.slice, ast.Tuple) else []
    begins: dict[str, ast.Name] = {}
    for entry in entries:
        match entry:
            case (
                ast.Slice(lower=ast.Name() as begin)
                | ast.BinOp(left=ast.Name() as begin, op=ast.Add())
            ):
                begins.setdefault(begin.id, begin)
    names = [n for n in ast.walk(target.slice) if isinstance(n, ast.Name) and n.id in begins]
    wholes = {n for n in begins if (v := scope.values.get(n)) and v.kind == "whole"}
    each = [{n} for n in sorted(wholes) if sum(one.id == n for one in names) == 1]
    for forgotten in (wholes, *each) if len(begins) > 1 else each:
        text = f"a stride is missing beside {' and '.join(sorted(forgotten))} in {shown(target)}"
        for name, value in scope.values.items():
            if value.kind == "whole" and name not in begins:
                new = {
                    id(n): ast.BinOp(n, ast.Mult(), node_of(name))
                    for n in names
                    if n.id in forgotten
                }
                yield _made(node, new, text, 1.24)


def _changed(
    node: ast.expr | ast.stmt, places: Sequence[ast.expr], new: ast.expr, text: str, cost: float
) -> Fix:
    return _made(node, {id(place): new for place in places}, text, cost)


def _made(node: ast.expr | ast.stmt, new: Mapping[int, ast.expr], text: str, cost: float) -> Fix:
    made = _copied(node, new)
    if isinstance(made, ast.stmt):
        return Fix(node, (made,), "stride-ignored", cost, text)
    assert isinstance(made, ast.expr)
    return Fix(node, made, "stride-ignored", cost, text)


def _filled(node: ast.expr, places: Sequence[ast.expr], other: ast.expr) -> ast.expr:
    made = _copied(node, {id(place): other for place in places})
    assert isinstance(made, ast.expr)
    return made


def _copied(node: ast.AST, new: Mapping[int, ast.expr]) -> ast.AST:
    """A copy of a tree with other expressions in places of it."""
    if id(node) in new:
        return new[id(node)]
    made = type(node)()
    if isinstance(node, ast.stmt) and isinstance(made, ast.stmt):
        made.lineno = node.lineno  # as text is made from it
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            value = [_copied(v, new) if isinstance(v, ast.AST) else v for v in value]
        elif isinstance(value, ast.AST):
            value = _copied(value, new)
        setattr(made, name, value)
    return made
