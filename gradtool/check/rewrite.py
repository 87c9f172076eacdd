"""The user's code with one thing changed, as a question: what would it give without that?

Two things are asked for.  Numbers of float32 are read as float64: what is then exact was off by
their rounding and by nothing else.  Guards, the tiny numbers that people add to what they divide
by or take the logarithm of, are set to another value.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_MOST = 1e-4  # a guard
_SHORT = frozenset({"float32", "single", "float16", "half", "csingle", "bfloat16"})
_TENSORS = frozenset({"FloatTensor", "HalfTensor", "BFloat16Tensor"})  # of torch, torch.cuda
_CODES = frozenset({"f", "f4", "<f4", ">f4", "=f4", "e", "f2", "<f2", ">f2"})
_PLACES = frozenset({"log", "log2", "log10", "sqrt", "rsqrt", "power", "reciprocal", "true_divide"})
_MACHINE = frozenset({"eps", "tiny", "epsilon", "smallest_normal", "resolution"})
_ROUNDS = 3  # a guarded value that is named, and named again


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be different.

    Attributes:
        widen: float32 and shorter types are float64.
        numbers: the keys of guards, and their values.
    """

    widen: bool = False
    numbers: tuple[tuple[str, float], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"widen": self.widen, "numbers": [list(pair) for pair in self.numbers]}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Change:
        return Change(data["widen"], tuple((key, value) for key, value in data["numbers"]))


@dataclass(frozen=True, slots=True)
class Guard:
    """A tiny number that is added where a zero would do harm: ``log(p + 1e-8)``.

    `value` is None for that of the machine, as in ``np.finfo(float).eps``.
    """

    key: str
    line: int
    text: str
    value: float | None


def changed(tree: ast.Module, place: str, change: Change) -> ast.Module:
    """The tree with the change made; the tree itself where there is nothing to change."""
    if change.widen:
        tree = ast.fix_missing_locations(_Widener().visit(copy.deepcopy(tree)))
    if change.numbers:
        tree, numbers = copy.deepcopy(tree), dict(change.numbers)
        for operand, _ in list(_operands(tree)):
            value = numbers.get(_key(place, operand.node))
            if value is not None:
                setattr(operand.owner, operand.side, _number(value, operand.node))
    return tree


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


def _key(place: str, node: ast.expr) -> str:
    return f"{place}:{node.lineno}:{node.col_offset}"


def _number(value: float, like: ast.expr) -> ast.expr:
    return ast.copy_location(ast.Constant(value), like)


# -- guards ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Operand:
    owner: ast.BinOp
    side: str
    node: ast.expr


def _operands(tree: ast.Module) -> Iterator[tuple[_Operand, float | None]]:
    """The tiny operands of the sums that are guarded."""
    known = _tiny_names(tree)
    for total in _guarded(tree):
        both = (("left", total.left, total.right), ("right", total.right, total.left))
        for side, node, other in both:
            tiny, value = _tiny(node, known)
            if tiny and not isinstance(other, ast.Constant):  # 1 + 1e-8 is no guard
                yield _Operand(total, side, node), value


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


# -- float32 --------------------------------------------------------------------------------


class _Widener(ast.NodeTransformer):
    """Types of numbers that are shorter than float64, by whatever name."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if owner and (node.attr in _SHORT or (owner, node.attr) == ("torch", "float")):
            node.attr = "float64"
        elif node.attr in _TENSORS:
            node.attr = "DoubleTensor"
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        for alias in node.names:
            if alias.name in _SHORT:
                alias.asname = alias.asname or alias.name
                alias.name = "float64"
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and node.value in _SHORT:
            return ast.copy_location(ast.Constant("float64"), node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node.func:
            case ast.Attribute(attr="float" | "half") if not node.args and not node.keywords:
                node.func.attr = "double"  # tensor.float()
            case ast.Attribute(attr="astype" | "dtype") | ast.Name(id="dtype"):
                node.args = [self._code(argument) for argument in node.args]
        for keyword in node.keywords:
            if keyword.arg == "dtype":
                keyword.value = self._code(keyword.value)
        return node

    @staticmethod
    def _code(node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Constant) and node.value in _CODES:
            return ast.copy_location(ast.Constant("float64"), node)
        return node
