"""Formulas as sympy's matrix expressions, where sympy has one.

A matrix is a MatrixSymbol, a vector a MatrixSymbol with one column, a number a Symbol.  What has
more axes, or broadcasts along one, has no matrix expression; `gradtool.emit.sympy_indexed` writes
it with indices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sympy

from gradtool.ir.dims import Dim
from gradtool.ir.tree import Call, Name, Number, Tree
from gradtool.ops.scalar import FUNCTIONS

Shape = tuple[Dim, ...]


class NoMatrix(Exception):
    """There is no matrix expression for this."""


def size(dim: Dim) -> Any:
    """A size as a sympy integer expression."""
    total: Any = sympy.Integer(0)
    for monomial, coefficient in dim.terms:
        product: Any = sympy.Integer(coefficient)
        for atom, power in monomial:
            if isinstance(atom, str):
                product *= size_symbol(atom) ** power
            else:
                product *= sympy.floor(size(atom.numerator) / size(atom.denominator)) ** power
        total += product
    return total


def size_symbol(name: str) -> Any:
    return sympy.Symbol(name, integer=True, positive=True)


def real_symbol(name: str) -> Any:
    return sympy.Symbol(name, real=True)


def scalar_function(name: str) -> Callable[[Any], Any]:
    """A scalar word of the vocabulary: sympy's own function, or what it is defined as."""
    return lambda x: FUNCTIONS[name].definition(sympy, x)


class Matrices:
    """Turns trees into matrix expressions.

    Attributes:
        shape: of an expression.
        constants: names of integers and reals that are no arrays.
    """

    def __init__(self, shape: Callable[[Tree], Shape], constants: Mapping[str, object]) -> None:
        self.shape = shape
        self.constants = constants

    def of(self, tree: Tree) -> Any:
        """The expression.

        Raises:
            NoMatrix: sympy has none.
        """
        match tree:
            case Number(value=value):
                return sympy.Rational(value.numerator, value.denominator)
            case Name(id=name):
                return self._name(name, tree)
            case Call(op=op, args=args, kwargs=()):
                rule = _RULES.get(op)
                if rule is not None:
                    return rule(self, args)
                if op in FUNCTIONS and len(args) == 1:
                    return self._entrywise(scalar_function(op), args[0])
        raise NoMatrix

    def _name(self, name: str, tree: Name) -> Any:
        if name == "pi":
            return sympy.pi
        shape = self.shape(tree)
        if shape:
            return sympy.MatrixSymbol(name, *_sides(shape))
        constant = self.constants.get(name)
        if constant is None:
            return real_symbol(name)
        return size_symbol(name) if isinstance(constant, int) else real_symbol(name)

    def _entrywise(self, function: Callable[[Any], Any], tree: Tree) -> Any:
        inner = self.of(tree)
        if not self.shape(tree):
            return function(inner)
        x = sympy.Dummy("x", real=True)
        return inner.applyfunc(sympy.Lambda(x, function(x)))

    def rank(self, tree: Tree) -> int:
        return len(self.shape(tree))

    def matched(self, left: Tree, right: Tree) -> tuple[Any, Any]:
        """Two operands of equal shape; a number is repeated."""
        a, b = self.of(left), self.of(right)
        shapes = self.shape(left), self.shape(right)
        if shapes[0] == shapes[1]:
            return a, b
        if not shapes[0]:
            return a * sympy.OneMatrix(*_sides(shapes[1])), b
        if not shapes[1]:
            return a, b * sympy.OneMatrix(*_sides(shapes[0]))
        raise NoMatrix


def _sides(shape: Shape) -> tuple[Any, Any]:
    if not 1 <= len(shape) <= 2:
        raise NoMatrix
    rows, *columns = (size(dim) for dim in shape)
    return rows, columns[0] if columns else sympy.Integer(1)


Rule = Callable[[Matrices, tuple[Tree, ...]], Any]


def _add(m: Matrices, args: tuple[Tree, ...]) -> Any:
    left, right = m.matched(*args)
    return left + right


def _sub(m: Matrices, args: tuple[Tree, ...]) -> Any:
    left, right = m.matched(*args)
    return left - right


def _mul(m: Matrices, args: tuple[Tree, ...]) -> Any:
    left, right = m.of(args[0]), m.of(args[1])
    shapes = m.shape(args[0]), m.shape(args[1])
    if not shapes[0] or not shapes[1]:
        return left * right
    if shapes[0] != shapes[1]:
        raise NoMatrix
    return sympy.HadamardProduct(left, right)


def _div(m: Matrices, args: tuple[Tree, ...]) -> Any:
    above, below = m.of(args[0]), m.of(args[1])
    if not m.shape(args[1]):
        return above / below
    inverse = sympy.HadamardPower(below, sympy.Integer(-1))
    if not m.shape(args[0]):
        return above * inverse
    if m.shape(args[0]) != m.shape(args[1]):
        raise NoMatrix
    return sympy.HadamardProduct(above, inverse)


def _neg(m: Matrices, args: tuple[Tree, ...]) -> Any:
    return -m.of(args[0])


def _pow(m: Matrices, args: tuple[Tree, ...]) -> Any:
    base, exponent = m.of(args[0]), m.of(args[1])
    if m.shape(args[1]):
        raise NoMatrix
    return sympy.HadamardPower(base, exponent) if m.shape(args[0]) else base**exponent


def _transpose(m: Matrices, args: tuple[Tree, ...]) -> Any:
    if len(args) > 1 or m.rank(args[0]) > 2:
        raise NoMatrix
    # A vector is its own transpose in NumPy.
    inner = m.of(args[0])
    return inner.T if m.rank(args[0]) == 2 else inner


def _matmul(m: Matrices, args: tuple[Tree, ...]) -> Any:
    left, right = m.of(args[0]), m.of(args[1])
    match m.rank(args[0]), m.rank(args[1]):
        case 2, 1 | 2:
            return left * right
        case 1, 2:
            return right.T * left
        case 1, 1:
            return (left.T * right)[0, 0]
    raise NoMatrix


def _outer(m: Matrices, args: tuple[Tree, ...]) -> Any:
    return m.of(args[0]) * m.of(args[1]).T


def _diag(m: Matrices, args: tuple[Tree, ...]) -> Any:
    if m.rank(args[0]) != 1:
        raise NoMatrix
    return sympy.DiagMatrix(m.of(args[0]))


def _eye(m: Matrices, args: tuple[Tree, ...]) -> Any:
    shape = m.shape(Call("eye", args))
    return sympy.Identity(size(shape[0]))


def _ones(m: Matrices, args: tuple[Tree, ...]) -> Any:
    return sympy.OneMatrix(*_sides(m.shape(Call("ones", args))))


def _zeros(m: Matrices, args: tuple[Tree, ...]) -> Any:
    return sympy.ZeroMatrix(*_sides(m.shape(Call("zeros", args))))


def _inv(m: Matrices, args: tuple[Tree, ...]) -> Any:
    if m.rank(args[0]) != 2:
        raise NoMatrix
    return m.of(args[0]).I


def _solve(m: Matrices, args: tuple[Tree, ...]) -> Any:
    if m.rank(args[0]) != 2:
        raise NoMatrix
    return m.of(args[0]).I * m.of(args[1])


def _trace(m: Matrices, args: tuple[Tree, ...]) -> Any:
    return sympy.Trace(m.of(args[0]))


def _det(m: Matrices, args: tuple[Tree, ...]) -> Any:
    if m.rank(args[0]) != 2:
        raise NoMatrix
    return sympy.Determinant(m.of(args[0]))


def _sqrt(m: Matrices, args: tuple[Tree, ...]) -> Any:
    half = sympy.Rational(1, 2)
    inner = m.of(args[0])
    return sympy.HadamardPower(inner, half) if m.shape(args[0]) else inner**half


def _sum(m: Matrices, args: tuple[Tree, ...]) -> Any:
    """Of all entries: ``1^T A 1``."""
    inner = m.of(args[0])
    rows, columns = _sides(m.shape(args[0]))
    return (sympy.OneMatrix(1, rows) * inner * sympy.OneMatrix(columns, 1))[0, 0]


def _condition(relation: Callable[[Any, Any], Any]) -> Rule:
    def rule(m: Matrices, args: tuple[Tree, ...]) -> Any:
        if m.shape(args[1]):
            raise NoMatrix
        right = m.of(args[1])
        return m._entrywise(lambda x: sympy.Piecewise((1, relation(x, right)), (0, True)), args[0])

    return rule


_RULES: dict[str, Rule] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    "pow": _pow,
    "transpose": _transpose,
    "matmul": _matmul,
    "outer": _outer,
    "diag": _diag,
    "eye": _eye,
    "ones": _ones,
    "zeros": _zeros,
    "inv": _inv,
    "solve": _solve,
    "trace": _trace,
    "det": _det,
    "sqrt": _sqrt,
    "sum": _sum,
    "gt": _condition(sympy.Gt),
    "ge": _condition(sympy.Ge),
    "lt": _condition(sympy.Lt),
    "le": _condition(sympy.Le),
}
