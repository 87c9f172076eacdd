"""The degree of a forward pass in one of its variables, by how it is written.

It counts what the steps read: ``(v - p)**2 - (v - q)**2`` is linear in ``v`` and of degree two
here, for its derivative by the chain rule reads ``v``, and only one that was simplified does not.
What is not known to be a polynomial is none, a kink included.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable

from gradtool.ir import syntax

MANY = 3
"""The degree of what has a higher one, or none."""

_SUMS = frozenset(  # of one argument, or linear in all of them together
    """
    add average avg_pool1d avg_pool2d avg_pool3d broadcast_to col2im concatenate cumsum diag diff
    expand_dims flatten flip full global_avg_pool hstack im2col mean moveaxis neg negative pad pos
    ravel reshape rot180 squeeze stack sub subtract sum swapaxes trace transpose tril triu
    upsample_nearest vstack windows
""".split()  # noqa: SIM905 - a table to read
)
_PRODUCTS = frozenset(
    """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d dot einsum
    inner matmul mul multiply outer vdot
""".split()  # noqa: SIM905 - a table to read
)
_QUOTIENTS = frozenset({"div", "divide"})  # linear in the first argument
_CHOICES = frozenset({"solve", "where"})  # linear in those behind it
_SHAPES = frozenset({"shape", "size", "ndim", "zeros_like", "ones_like"})
_MOST_ROUNDS = 20


def degree_in(text: str, variable: str, outputs: Collection[str]) -> int:
    """The largest degree of the outputs of a forward pass with this text; `MANY` where the text
    has more than this knows.
    """
    try:
        walk = _Walk({variable: 1})
        walk.run(syntax.parse(text).body)
    except (SyntaxError, ValueError, RecursionError, _UnknownError):
        return MANY
    return max(walk.degrees.get(name, 0) for name in outputs)


class _UnknownError(Exception):
    """A statement of another kind."""


class _Walk:
    """The degree of every name, statement by statement; others than those it has are free."""

    def __init__(self, degrees: dict[str, int]) -> None:
        self.degrees = degrees

    def run(self, statements: Iterable[ast.stmt]) -> None:
        for statement in statements:
            match statement:
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        self._assign(target, self.of(value))
                case ast.AugAssign(target=target, op=op, value=value):
                    old = self.of(target)
                    self._assign(target, _combined(op, old, self.of(value)))
                case ast.For(target=target, iter=steps, body=body, orelse=[]):
                    self._assign(target, self.of(steps))
                    self._repeat(body)
                case ast.Expr(value=ast.Constant()):
                    pass
                case _:
                    raise _UnknownError

    def _repeat(self, body: list[ast.stmt]) -> None:
        """A value may get more by each round, and no name loses what it has in one of them."""
        for _ in range(_MOST_ROUNDS):
            before = dict(self.degrees)
            self.run(body)
            for name, degree in before.items():
                self.degrees[name] = max(degree, self.degrees.get(name, 0))
            if self.degrees == before:
                return
        raise _UnknownError

    def _assign(self, target: ast.expr, degree: int) -> None:
        match target:
            case ast.Name(id=name):
                self.degrees[name] = degree
            case ast.Subscript(value=ast.Name(id=name)):
                self.degrees[name] = max(degree, self.degrees.get(name, 0))
            case ast.Tuple(elts=elements):
                for element in elements:
                    self._assign(element, degree)
            case _:
                raise _UnknownError

    def of(self, node: ast.expr) -> int:
        """The degree of an expression."""
        match node:
            case ast.Name(id=name):
                return self.degrees.get(name, 0)
            case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=2)):
                return _product(self.of(left), self.of(left))
            case ast.BinOp(left=left, op=op, right=right):
                return _combined(op, self.of(left), self.of(right))
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                return self.of(operand)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                return max(map(self.of, elements), default=0)
            case ast.Attribute(value=value, attr="T" | "mT"):
                return self.of(value)
            case ast.Attribute(attr=name) if name in _SHAPES:
                return 0
            case ast.Subscript(value=value, slice=place) if not self._reads(place):
                return self.of(value)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords):
                return self._called(name, [*arguments, *(word.value for word in keywords)])
            case ast.Call(
                func=ast.Attribute(value=owner, attr=name), args=arguments, keywords=keywords
            ):
                return self._called(name, [owner, *arguments, *(word.value for word in keywords)])
        return MANY if self._reads(node) else 0

    def _called(self, name: str, arguments: list[ast.expr]) -> int:
        degrees = [self.of(argument) for argument in arguments]
        if not any(degrees) or name in _SHAPES:
            return 0
        if name in _SUMS:
            return max(degrees)
        if name == "square":
            return _product(*degrees, *degrees)
        if name in _PRODUCTS:
            return _product(*degrees)
        if name in _QUOTIENTS and not any(degrees[1:]):
            return degrees[0]
        if name in _CHOICES and not degrees[0]:
            return max(degrees)
        return MANY

    def _reads(self, node: ast.AST) -> bool:
        names = (one.id for one in ast.walk(node) if isinstance(one, ast.Name))
        return any(self.degrees.get(name, 0) for name in names)


def _combined(op: ast.operator, left: int, right: int) -> int:
    match op:
        case ast.Add() | ast.Sub():
            return max(left, right)
        case ast.Mult() | ast.MatMult():
            return _product(left, right)
        case ast.Div() if not right:
            return left
    return MANY if left or right else 0


def _product(*degrees: int) -> int:
    return min(MANY, sum(degrees))
