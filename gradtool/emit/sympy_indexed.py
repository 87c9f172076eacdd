"""Formulas as sympy sums over indexed arrays: ``Sum(X[n, d]*dY[n, c], (n, 0, N - 1))``.

Every array is an IndexedBase of its name, indices are integer symbols that count from 0.  A
Kronecker delta is sympy's; a condition is a Piecewise of 1 and 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy

from gradtool.emit.indices import fresh_indices, replaced
from gradtool.emit.sympy_matrix import real_symbol, scalar_function, size, size_symbol
from gradtool.emit.values import Values
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Statement
from gradtool.ir.index import Affine, Index, Label
from gradtool.ir.poly import (
    Access,
    Atom,
    Compare,
    Function,
    Group,
    Iverson,
    Number,
    Poly,
    Position,
    Size,
    Symbol,
    Term,
)


@dataclass(frozen=True, slots=True)
class IndexedForm:
    """An entry of an array.

    Attributes:
        expression: of sympy, in `indices`.
        indices: one symbol for each axis; None for an axis of size one.
    """

    expression: Any
    indices: tuple[Any, ...]


def indexed_form(statement: Statement, values: Values) -> IndexedForm:
    """The entry of a statement's value.

    Raises:
        UnsupportedError: a maximum, or a value without a name that is no sum of products.
    """
    if statement.reduce != "sum":
        raise UnsupportedError(f"{statement.reduce} over an axis as a sympy expression")
    writer = _Writer(values)
    free = fresh_indices(statement.free, values.taken)
    used = frozenset(i.name for i in free.values())
    body = statement.body.substitute(replaced(free))
    indices = tuple(None if i.size.as_int == 1 else _index(free[i]) for i in statement.free)
    return IndexedForm(writer.poly(body, used), indices)


def _index(index: Index) -> Any:
    """The symbol of an index; a second index over N is called n_1, not n'."""
    return sympy.Symbol(_plain(index.name), integer=True)


def _plain(name: str) -> str:
    bare = name.rstrip("'")
    primes = len(name) - len(bare)
    return f"{bare}_{primes}" if primes else bare


class _Writer:
    def __init__(self, values: Values) -> None:
        self.values = values

    def poly(self, body: Poly, used: frozenset[str]) -> Any:
        return sympy.Add(*(self.term(term, used) for term in body.terms))

    def term(self, term: Term, used: frozenset[str]) -> Any:
        bound = fresh_indices(term.bound, self.values.taken | used)
        inside = used | {i.name for i in bound.values()}
        moved = replaced(bound)
        outer: list[Any] = [_rational(term.coefficient)]
        inner: list[Any] = []
        for base, exponent in term.factors:
            summed = not base.indices.isdisjoint(term.bound)
            value = self.atom(base.substitute(moved), inside) ** _rational(exponent)
            (inner if summed else outer).append(value)
        result = sympy.Mul(*outer)
        if bound:
            limits = [(_index(i), 0, size(i.size) - 1) for i in bound.values()]
            result = result * sympy.Sum(sympy.Mul(*inner), *limits)
        return result

    def atom(self, base: Atom, used: frozenset[str]) -> Any:
        match base:
            case Access(tensor=tensor, index=index):
                inner = self.values.written(base)
                if inner is not None:
                    return self.poly(inner, used)
                return self.entry(tensor.name, index)
            case Symbol(name="pi"):
                return sympy.pi
            case Symbol(name=name):
                real = isinstance(self.values.constants.get(name), Fraction)
                return real_symbol(name) if real else size_symbol(name)
            case Size(dim=dim):
                return size(dim)
            case Number(value=value):
                return _rational(value)
            case Iverson(relation="eq", value=value):
                plus, minus = _two_sides(value)
                return sympy.KroneckerDelta(self.affine(plus), self.affine(minus))
            case Iverson(value=value):
                return sympy.Piecewise((1, self.affine(value) >= 0), (0, True))
            case Position(value=value):
                return self.affine(value)
            case Compare(relation=relation, left=left, right=right):
                sides = self.poly(left, used), self.poly(right, used)
                return sympy.Piecewise((1, _RELATIONS[relation](*sides)), (0, True))
            case Function(name="pow", args=(x, y)):
                return self.poly(x, used) ** self.poly(y, used)
            case Function(name=name, args=(x,)):
                return scalar_function(name)(self.poly(x, used))
            case Group(poly=poly):
                return self.poly(poly, used)
        raise UnsupportedError(f"{type(base).__name__} as a sympy expression")

    def entry(self, name: str, index: Sequence[Affine]) -> Any:
        shown = self.values.shown.get(name)
        if shown is None:
            raise UnsupportedError("a value without a name as a sympy expression", "give it a name")
        if not index:
            return real_symbol(shown)
        return sympy.IndexedBase(shown)[tuple(self.affine(e) for e in index)]

    def affine(self, value: Affine) -> Any:
        total = size(value.const)
        for position, coefficient in value.terms:
            if isinstance(position, Label):
                label = self.entry(position.tensor.name, position.index)
                total += size(coefficient) * label
            else:
                total += size(coefficient) * _index(position)
        return total


_RELATIONS = {">": sympy.Gt, ">=": sympy.Ge, "==": sympy.Eq, "!=": sympy.Ne}


def _two_sides(value: Affine) -> tuple[Affine, Affine]:
    """``a - b`` as a and b."""
    positive = Affine(
        tuple((p, c) for p, c in value.terms if not all(k < 0 for _, k in c.terms)), value.const
    )
    return positive, positive - value


def _rational(value: Fraction) -> Any:
    return sympy.Rational(value.numerator, value.denominator)
