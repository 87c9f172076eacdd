"""The guards of a file: tiny numbers that are added, or cut off at, where a zero would do harm."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from gradtool.records import Struct

_MOST = 1e-4  # a guard
_PLACES = frozenset({"log", "log2", "log10", "sqrt", "rsqrt", "power", "reciprocal", "true_divide"})
_CUTS = frozenset({"clip", "clamp", "clip_", "clamp_", "maximum", "minimum", "fmax", "fmin"})
_MACHINE = frozenset({"eps", "tiny", "epsilon", "smallest_normal", "resolution"})
_ROUNDS = 3  # a guarded value that is named, and named again


class Guard(Struct, frozen=True):
    """A tiny number that is added where a zero would do harm: ``log(p + 1e-8)``.

    So is a bound that is that close to 0 or to 1: ``clip(p, 1e-8, 1 - 1e-8)``.  `value` is None
    for that of the machine, as in ``np.finfo(float).eps``.
    """

    key: str
    line: int
    text: str
    value: float | None


def guards(tree: ast.Module, place: str) -> list[Guard]:
    """The guards of a file, in the order of their lines."""
    found = []
    for operand, value in _operands(tree):
        node = operand.node
        text = ast.unparse(node)
        if isinstance(node, ast.Name | ast.Attribute) and value is not None:
            text = f"{text} = {value:g}"
        found.append(Guard(_key(place, node), node.lineno, text, value))
    return sorted(found, key=lambda guard: guard.line)


def set_guards(tree: ast.Module, place: str, values: Mapping[str, float]) -> ast.Module:
    """The tree, changed in place, with the guards of these keys set to these values."""
    for operand, _ in list(_operands(tree)):
        value = values.get(_key(place, operand.node))
        if value is not None:
            operand.set(_number(value, operand.node))
    return tree


def _key(place: str, node: ast.expr) -> str:
    return f"{place}:{node.lineno}:{node.col_offset}"


def _number(value: float, like: ast.expr) -> ast.expr:
    return ast.copy_location(ast.Constant(value), like)


class _Operand(Struct, frozen=True):
    owner: ast.AST
    field: str
    node: ast.expr

    def set(self, new: ast.expr) -> None:
        held = getattr(self.owner, self.field)
        if isinstance(held, list):
            held[:] = [new if one is self.node else one for one in held]
        else:
            setattr(self.owner, self.field, new)


def _operands(tree: ast.Module) -> Iterator[tuple[_Operand, float | None]]:
    """The tiny operands of the sums that are guarded, and tiny bounds."""
    known = _tiny_names(tree)
    for owner, field, node in _bounds(tree):
        tiny, value = _tiny(node, known)
        if tiny:
            yield _Operand(owner, field, node), value
    for total in _guarded(tree):
        both = (("left", total.left, total.right), ("right", total.right, total.left))
        for side, node, other in both:
            tiny, value = _tiny(node, known)
            if tiny and not isinstance(other, ast.Constant):  # 1 + 1e-8 is no guard
                yield _Operand(total, side, node), value


def _bounds(tree: ast.Module) -> Iterator[tuple[ast.AST, str, ast.expr]]:
    """What may be a bound, or how far one is from 1; where it stands in the tree."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in _CUTS:
                places: list[tuple[ast.AST, str, ast.expr]] = []
                places += [(node, "args", argument) for argument in node.args]
                places += [(keyword, "value", keyword.value) for keyword in node.keywords]
                for owner, field, bound in places:
                    match bound:
                        case ast.BinOp(left=ast.Constant(value=1), op=ast.Sub(), right=right):
                            yield bound, "right", right
                        case _:
                            yield owner, field, bound


def _guarded(tree: ast.Module) -> list[ast.BinOp]:
    """The sums that are divided by, or that a logarithm or a root is taken of."""
    values: dict[str, list[ast.expr]] = {}
    todo: list[ast.expr] = []
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    if name := _name(target):
                        values.setdefault(name, []).append(value)
            case (
                ast.BinOp(op=ast.Div(), right=divisor) | ast.AugAssign(op=ast.Div(), value=divisor)
            ):
                todo.append(divisor)
            case ast.BinOp(op=ast.Pow(), left=base):
                todo.append(base)
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=[first, *rest]):
                if name in _PLACES:
                    todo.append(first)
                if name in ("divide", "true_divide") and rest:
                    todo.append(rest[0])
    sums: dict[int, ast.BinOp] = {}
    seen: set[str] = set()
    for _ in range(_ROUNDS):
        later: list[ast.expr] = []
        for expression in todo:
            for node in _inside(expression):
                if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
                    sums[id(node)] = node
                if (name := _name(node)) and name not in seen:
                    seen.add(name)
                    later += values.get(name, [])
        todo = later
    return list(sums.values())


def _inside(node: ast.expr) -> Iterator[ast.expr]:
    """What a guarded expression is made of by arithmetic."""
    yield node
    match node:
        case ast.BinOp(op=ast.Pow(), left=left):
            yield from _inside(left)
        case ast.BinOp(left=left, right=right):
            yield from _inside(left)
            yield from _inside(right)
        case ast.UnaryOp(operand=operand):
            yield from _inside(operand)
        case ast.Call(args=[first, *_]):
            yield from _inside(first)


def _tiny_names(tree: ast.Module) -> dict[str, float | None]:
    """Names and attributes that never hold anything but one tiny number."""
    held: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    if name := _name(target):
                        held.setdefault(name, []).append(value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                if name := _name(target):
                    held.setdefault(name, []).append(value)
            case ast.arguments():
                both = [*node.posonlyargs, *node.args]
                given = [*zip(both[len(both) - len(node.defaults) :], node.defaults, strict=True)]
                given += [
                    (a, d) for a, d in zip(node.kwonlyargs, node.kw_defaults, strict=True) if d
                ]
                for argument, default in given:
                    held.setdefault(argument.arg, []).append(default)
    found: dict[str, float | None] = {}
    for _ in range(_ROUNDS):  # self.eps = eps
        for name, values in held.items():
            tiny = [_tiny(value, found) for value in values]
            if name not in found and all(is_tiny for is_tiny, _ in tiny):
                found[name] = tiny[-1][1]
    return found


def _tiny(node: ast.expr, known: Mapping[str, float | None]) -> tuple[bool, float | None]:
    match node:
        case ast.Constant(value=float() | int() as value) if not isinstance(value, bool):
            return 0 < abs(value) <= _MOST, float(value)
        case ast.BinOp(
            left=ast.Constant(value=10 | 10.0),
            op=ast.Pow(),
            right=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as digits)),
        ):
            return 10.0**-digits <= _MOST, 10.0**-digits
        case ast.BinOp(
            left=ast.Constant(value=int() | float() as times), op=ast.Mult(), right=inner
        ):
            tiny, number = _tiny(inner, known)
            return tiny, None if number is None else times * number
        case ast.BinOp(op=ast.Mult(), left=inner, right=ast.Constant() as times):
            return _tiny(ast.BinOp(times, ast.Mult(), inner), known)
        case ast.Attribute(attr=name, value=owner) if name in _MACHINE and "info" in ast.dump(
            owner
        ):
            return True, None
        case ast.Call(func=ast.Attribute(attr="float32" | "float64") | ast.Name(id="float"),
                      args=[inner]):  # fmt: skip
            return _tiny(inner, known)
    name = _name(node)
    return (True, known[name]) if name in known else (False, None)


def _name(node: ast.expr) -> str:
    """``eps``; an attribute is known by its own name, whoever has it."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name, value=ast.Name(id="self" | "cls")):
            return f".{name}"
    return ""
