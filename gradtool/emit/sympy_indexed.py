"""Formulas as sympy sums over indexed arrays: ``Sum(X[n, d]*dY[n, c], (n, 0, N - 1))``.

Every array is an IndexedBase of its name, indices are integer symbols that count from 0.  A
Kronecker delta is sympy's; a condition is a Piecewise of 1 and 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import sympy

from gradtool.emit.indices import fresh_indices, replaced
from gradtool.emit.sympy_matrix import real_symbol, scalar_function, size, size_symbol
from gradtool.emit.values import Values
from gradtool.ir.dims import ZERO, Dim, total
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Reshape, Statement
from gradtool.ir.index import Affine, Index, Label, Tensor
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
from gradtool.records import Struct


class IndexedForm(Struct, frozen=True):
    """An entry of an array.

    Attributes:
        expression: of sympy, in `indices`.
        indices: one symbol for each axis; None for an axis of size one.
    """

    expression: Any
    indices: tuple[Any, ...]


def indexed_form(statement: Statement | Reshape, values: Values) -> IndexedForm:
    """The entry of a statement's value.

    Raises:
        UnsupportedError: a maximum, or a value without a name that is no sum of products.
    """
    if isinstance(statement, Reshape):
        places, shown = _axes(statement.out.shape, values)
        return IndexedForm(_Writer(values).reshaped(statement, places), shown)
    if statement.reduce != "sum":
        raise UnsupportedError(f"{statement.reduce} over an axis as a sympy expression")
    writer = _Writer(values)
    free = fresh_indices(statement.free, values.taken)
    used = frozenset(i.name for i in free.values())
    body = statement.body.substitute(replaced(free))
    indices = tuple(None if i.size.as_int == 1 else _index(free[i]) for i in statement.free)
    return IndexedForm(writer.poly(body, used), indices)


def reshaped_form(shape: Sequence[Dim], array: Tensor, values: Values) -> IndexedForm:
    """The entry of an array, which has a name, in another shape."""
    places, shown = _axes(shape, values)
    rows = _same_entry(shape, array.shape, places)
    return IndexedForm(sympy.IndexedBase(array.name)[tuple(rows)], shown)


def _axes(shape: Sequence[Dim], values: Values) -> tuple[list[Any], tuple[Any, ...]]:
    """A symbol for each axis, 0 for one of size one; and the symbols with None for that."""
    axes = [Index(f"@{k}", size) for k, size in enumerate(shape)]
    named = fresh_indices(axes, values.taken)
    shown = tuple(None if i.size.as_int == 1 else _index(named[i]) for i in axes)
    return [0 if place is None else place for place in shown], shown


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
        # Counted in another shape, an entry outside an array would be another one, not 0.
        if self.values.named(name) is None:
            statement = self.values.statements.get(name)
            shape = () if statement is None else statement.out.shape
            if len(shape) != len(index) or not all(map(_inside, index, shape)):
                raise _nameless()
        return self.at(name, [self.affine(e) for e in index])

    def at(self, name: str, places: Sequence[Any]) -> Any:
        """An entry of a tensor, at places that are sympy's."""
        shown = self.values.named(name)
        if shown is not None:
            if not places:
                return real_symbol(shown)
            return sympy.IndexedBase(shown)[tuple(places)]
        statement = self.values.statements.get(name)
        if isinstance(statement, Reshape):
            return self.reshaped(statement, places)
        if isinstance(statement, Statement) and statement.reduce == "sum":
            aside = {i: Index(f"@{k}:{name}", i.size) for k, i in enumerate(statement.free)}
            used = {str(s) for place in places for s in sympy.sympify(place).free_symbols}
            used |= {f"{n[:-2]}'" for n in used if n.endswith("_1")}
            inner = self.poly(statement.body.substitute(replaced(aside)), frozenset(used))
            there = {_index(aside[i]): p for i, p in zip(statement.free, places, strict=True)}
            return inner.subs(there, simultaneous=True)
        raise _nameless()

    def reshaped(self, statement: Reshape, places: Sequence[Any]) -> Any:
        """The entry with the same number in the order of memory."""
        rows = _same_entry(statement.out.shape, statement.operand.shape, places)
        return self.at(statement.operand.name, rows)

    def affine(self, value: Affine) -> Any:
        total = size(value.const)
        for position, coefficient in value.terms:
            if isinstance(position, Label):
                label = self.entry(position.tensor.name, position.index)
                total += size(coefficient) * label
            else:
                total += size(coefficient) * _index(position)
        return total


def _nameless() -> UnsupportedError:
    return UnsupportedError("a value without a name as a sympy expression", "give it a name")


def _inside(entry: Affine, axis: Dim) -> bool:
    """Whether a place is inside an axis for certain: its own index, or the first place."""
    index = entry.as_index
    return entry.as_dim == ZERO if index is None else index.size == axis


def _same_entry(out: Sequence[Dim], operand: Sequence[Dim], places: Sequence[Any]) -> list[Any]:
    """Where an entry of a reshaped array stands in the array.

    Axes are matched in groups of the same size, ``G * K`` with ``G, K``: within a group an entry
    is counted and divided up again.
    """
    found: list[Any] = []
    left, right = list(zip(out, places, strict=True)), list(operand)
    while left or right:
        group, sizes = [left.pop(0)] if left else [], [right.pop(0)] if right else []
        while total(d for d, _ in group) != total(sizes):
            grown = total(sizes).divided_by(total(d for d, _ in group)) is not None
            if left and (grown or not right):
                group.append(left.pop(0))
            else:
                sizes.append(right.pop(0))
        number: Any = sympy.Integer(0)
        for dim, place in group:
            number = number * size(dim) + place
        parts: list[Any] = []
        for count, dim in reversed(list(enumerate(sizes))):
            whole = size(dim)
            parts.insert(0, number if count == 0 else sympy.Mod(number, whole))
            number = sympy.floor(number / whole)
        found += parts
    return found


_RELATIONS = {">": sympy.Gt, ">=": sympy.Ge, "==": sympy.Eq, "!=": sympy.Ne}


def _two_sides(value: Affine) -> tuple[Affine, Affine]:
    """``a - b`` as a and b."""
    positive = Affine(
        tuple((p, c) for p, c in value.terms if not all(k < 0 for _, k in c.terms)), value.const
    )
    return positive, positive - value


def _rational(value: Fraction) -> Any:
    return sympy.Rational(value.numerator, value.denominator)
