"""Evaluate statements straight from their index notation, in any arithmetic.

Every term is computed on the grid of its free and bound indices, exactly as it reads.  That is
slow and simple on purpose: it is the meaning of a statement, and it runs in double precision or
with as many digits as wanted.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from gradtool.ir.dims import Dim
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import AnyStatement, Loop, MatrixFunction, Reshape, Scan, Statement
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

Array = Any  # an ndarray of floats, or of objects in high precision


class Arithmetic(Protocol):
    """Numbers and functions of one precision.

    `fixed_bits` is 0, or the number of fractional bits of an exact integer form of the numbers.
    """

    fixed_bits: int

    def to_fixed(self, array: Array) -> Array: ...
    def from_fixed(self, array: Array, factors: int) -> Array: ...
    def number(self, value: Fraction | int) -> Any: ...
    def pi(self) -> Any: ...
    def function(self, name: str, args: list[Array]) -> Array: ...
    def power(self, base: Array, exponent: Fraction) -> Array: ...
    def matrix(self, name: str, operand: Array) -> Array: ...
    def zeros(self, shape: tuple[int, ...]) -> Array: ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What an evaluation needs beside the tensors.

    Attributes:
        sizes: the value of every dimension and integer constant.
        numbers: the value of every real constant.
        arithmetic: the precision.
    """

    sizes: Mapping[str, int]
    numbers: Mapping[str, Fraction]
    arithmetic: Arithmetic

    def size(self, dim: Dim) -> int:
        return dim.evaluate(self.sizes)


def run(
    statements: Iterable[AnyStatement], values: Mapping[str, Array], setting: Setting
) -> dict[str, Array]:
    """The values of all tensors, the given ones included.

    Raises:
        UnsupportedError: a size that is zero or negative.
    """
    known = dict(values)
    loops: dict[int, dict[str, list[Array]]] = {}  # the values that scans want, step by step
    statements = tuple(statements)
    for statement in statements:
        if isinstance(statement, Scan):
            loop = statement.loop
            if id(loop) not in loops:
                wanted = {s.source for s in statements if isinstance(s, Scan) and s.loop is loop}
                loops[id(loop)] = {name: [] for name in wanted}
                for step in steps(loop, known, setting):
                    for name, values_of in loops[id(loop)].items():
                        values_of.append(step[name])
            made = _result(statement, loops[id(loop)][statement.source], known, setting)
            known[statement.out.name] = _array(made)
        else:
            known[statement.out.name] = _array(evaluate(statement, known, setting))
    return known


def positions(loop: Loop, setting: Setting) -> list[int]:
    """The steps of a loop in the order in which they are taken."""
    first, size = setting.size(loop.first), setting.size(loop.size)
    if size < 1:
        raise UnsupportedError(f"the loop over {loop.index} has {size} steps")
    order = list(range(first, first + size))
    return order[::-1] if loop.backwards else order


def steps(loop: Loop, known: Mapping[str, Array], setting: Setting) -> Iterator[dict[str, Array]]:
    """All values of the body in each step, in the order in which the steps are taken."""
    state: dict[str, Array] = {}
    shapes = {t.name: t.shape for t in loop.body.inputs}
    for carried in loop.carried:
        if carried.name not in shapes:
            continue
        if carried.initial is not None:
            state[carried.name] = known[carried.initial.name]
        else:
            shape = tuple(setting.size(dim) for dim in shapes[carried.name])
            state[carried.name] = setting.arithmetic.zeros(shape)
    for position in positions(loop, setting):
        given = {t.name: known[t.name] for t in loop.invariant}
        given |= state
        given[loop.index] = np.asarray(position)
        for part in loop.sliced:
            index = [*[slice(None)] * part.axis, position + setting.size(part.offset)]
            given[part.name] = _array(known[part.source.name][tuple(index)])
        values = run(loop.body.statements, given, setting)
        state = {c.name: values[c.result] for c in loop.carried if c.name in shapes}
        yield values


def _result(
    statement: Scan, values: list[Array], known: Mapping[str, Array], setting: Setting
) -> Array:
    """What becomes of the values of all steps."""
    if statement.what == "last":
        return values[-1]
    if statement.what == "sum":
        start = statement.initial
        shape = tuple(setting.size(dim) for dim in statement.out.shape)
        total = setting.arithmetic.zeros(shape) if start is None else known[start.name]
        for value in values:
            total = total + value
        return total
    result = setting.arithmetic.zeros(tuple(setting.size(d) for d in statement.out.shape))
    if statement.out.kind != "real":
        result = np.zeros(np.shape(result), dtype=values[0].dtype)
    result = np.array(result)
    for position, value in zip(positions(statement.loop, setting), values, strict=True):
        place = position + setting.size(statement.offset)
        index: tuple[Any, ...] = (*[slice(None)] * statement.axis, place)
        result[index] = value
    return result


def _array(value: Any) -> Array:
    """A scalar object stays an array of rank 0."""
    if isinstance(value, np.ndarray):
        return value
    holder = np.empty((), dtype=object if not isinstance(value, float | int | np.generic) else None)
    holder[()] = value
    return holder


def evaluate(statement: AnyStatement, known: Mapping[str, Array], setting: Setting) -> Array:
    shape = tuple(setting.size(dim) for dim in statement.out.shape)
    if any(size < 1 for size in shape):
        raise UnsupportedError(f"the shape {shape} of {statement.out.name} has an empty axis")
    match statement:
        case Reshape(operand=operand):
            return known[operand.name].reshape(shape)
        case MatrixFunction(function=function, operands=operands):
            return setting.arithmetic.matrix(function, known[operands[0].name])
        case Statement(reduce="sum"):
            return _Grid(statement.free, known, setting).poly(statement.body)
        case Statement():
            return _extremum(statement, shape, known, setting)
    raise UnsupportedError(type(statement).__name__)


def _extremum(
    statement: Statement, shape: tuple[int, ...], known: Mapping[str, Array], setting: Setting
) -> Array:
    grid = _Grid((*statement.free, *statement.bound), known, setting)
    values = grid.poly(statement.body).reshape(*shape, -1)
    flipped = -values if statement.reduce in ("min", "argmin") else values
    best = np.asarray(np.argmax(flipped, axis=-1))
    if statement.reduce in ("argmax", "argmin"):
        return best
    return np.take_along_axis(values, best[..., None], axis=-1)[..., 0]


class _Grid:
    """Arrays over a tuple of indices; axes that a factor does not use have the length 1."""

    def __init__(
        self, indices: tuple[Index, ...], known: Mapping[str, Array], setting: Setting
    ) -> None:
        self.known = known
        self.setting = setting
        self.indices = indices
        self.lengths = [setting.size(i.size) for i in indices]

    def poly(self, body: Poly) -> Array:
        """The sum of the terms, over the whole grid."""
        total = self.setting.arithmetic.zeros(tuple(self.lengths))
        for term in body.terms:
            total = total + self._term(term)
        return total

    def _term(self, term: Term) -> Array:
        inner = _Grid((*self.indices, *term.bound), self.known, self.setting)
        rank = len(self.indices)
        exact = inner.multilinear(term, rank)
        if exact is not None:
            return exact
        value, mask = inner.product(term)
        zero = self.setting.arithmetic.number(0)
        if mask is not None:
            value = np.where(mask, value, zero)
        value = np.asarray(value)
        # An index that no factor uses would be summed once instead of size times: expand it.
        used = np.broadcast_to(value, (*value.shape[:rank], *inner.lengths[rank:]))
        result = used.sum(axis=tuple(range(rank, rank + len(term.bound))))
        return np.broadcast_to(result, tuple(self.lengths)) if rank else np.asarray(result)

    def multilinear(self, term: Term, rank: int) -> Array | None:
        """A sum of plain products of entries, in integers where the arithmetic has a way to.

        Multiplying and adding integers is some twenty times faster than high-precision floats,
        and this is where nearly all the work of a matrix product or a convolution is.
        """
        arithmetic = self.setting.arithmetic
        accesses = [(b, e) for b, e in term.factors if isinstance(b, Access)]
        bits = arithmetic.fixed_bits
        if not bits or not term.bound or any(e.denominator != 1 or e < 0 for _, e in accesses):
            return None
        value: Any = np.full((1,) * len(self.indices), 1, dtype=object)
        mask: Any = None
        count = 0
        rest: list[tuple[Atom, Fraction]] = []
        for base, exponent in term.factors:
            if isinstance(base, Access):
                factor, inside = self._gather(self.known[base.tensor.name], base.index)
                integers = arithmetic.to_fixed(factor)
                for _ in range(int(exponent)):
                    value = value * integers
                    count += 1
            elif isinstance(base, Iverson):
                inside = self._atom(base)[0]
            elif base.indices:
                return None
            else:
                rest.append((base, exponent))
                continue
            if inside is not None:
                mask = inside if mask is None else mask & inside
        if mask is not None:
            value = np.where(mask, value, 0)
        whole = np.broadcast_to(value, (*value.shape[:rank], *self.lengths[rank:]))
        summed = np.asarray(whole.sum(axis=tuple(range(rank, len(self.indices)))), dtype=object)
        result = arithmetic.from_fixed(summed, count)
        scale, holds = _Grid((), self.known, self.setting).product(
            Term(term.coefficient, tuple(rest))
        )
        if holds is not None and not np.all(holds):
            scale = arithmetic.number(0)
        result = np.asarray(result * np.asarray(scale).reshape(()), dtype=object)
        return np.broadcast_to(result, tuple(self.lengths[:rank])) if rank else result

    def product(self, term: Term) -> tuple[Array, Any]:
        """The product of the factors, and the mask of where it is not forced to zero."""
        arithmetic = self.setting.arithmetic
        value = np.full((1,) * len(self.indices), arithmetic.number(term.coefficient))
        mask: Any = None
        for base, exponent in term.factors:
            factor, inside = self._atom(base)
            if isinstance(base, Iverson | Compare):
                inside = factor if inside is None else inside & factor
            else:
                if inside is not None:
                    one = arithmetic.number(1)
                    factor = np.where(inside, factor, one)
                value = value * arithmetic.power(factor, exponent)
            if inside is not None:
                mask = inside if mask is None else mask & inside
        return value, mask

    def _scalar(self, body: Poly) -> tuple[Array, Any]:
        """A sum inside a function or a denominator, and where any of its terms is inside."""
        total: Any = np.full((1,) * len(self.indices), self.setting.arithmetic.number(0))
        anywhere: Any = np.zeros((1,) * len(self.indices), dtype=bool)
        for term in body.terms:
            value, mask = self.product(term)
            if mask is not None:
                value = np.where(mask, value, self.setting.arithmetic.number(0))
            anywhere = anywhere | (True if mask is None else mask)
            total = total + value
        return total, None if np.all(anywhere) else anywhere

    def _atom(self, base: Atom) -> tuple[Array, Any]:
        arithmetic = self.setting.arithmetic
        match base:
            case Access(tensor=tensor, index=index):
                return self._gather(self.known[tensor.name], index)
            case Symbol(name="pi"):
                return arithmetic.pi(), None
            case Symbol(name=name):
                if name in self.setting.sizes:
                    return arithmetic.number(self.setting.sizes[name]), None
                return arithmetic.number(self.setting.numbers[name]), None
            case Size(dim=dim):
                return arithmetic.number(self.setting.size(dim)), None
            case Number(value=value):
                return arithmetic.number(value), None
            case Position(value=value):
                entry = self._entry(value)
                numbers = np.vectorize(arithmetic.number, otypes=[object])(entry)
                return _like(arithmetic, numbers), None
            case Iverson(relation=relation, value=value):
                entry = self._entry(value)
                holds = entry == 0 if relation == "eq" else entry >= 0
                inside = self._inside(value)
                return holds if inside is None else holds & inside, None
            case Compare(relation=relation, left=left, right=right):
                a, _ = self._scalar(left)
                b, _ = self._scalar(right)
                return np.asarray(_RELATIONS[relation](a, b), dtype=bool), None
            case Group(poly=poly):
                return self._scalar(poly)
            case Function(name=name, args=args):
                values = [self._scalar(arg)[0] for arg in args]
                return arithmetic.function(name, values), None
        raise UnsupportedError(type(base).__name__)

    def _gather(self, array: Array, index: tuple[Affine, ...]) -> tuple[Array, Any]:
        if not index:
            return np.asarray(array).reshape((1,) * len(self.indices)), None
        entries = [self._entry(e) for e in index]
        mask: Any = None
        clipped = []
        for affine, entry, length in zip(index, entries, array.shape, strict=True):
            inside = (entry >= 0) & (entry < length)
            if not inside.all():
                mask = inside if mask is None else mask & inside
            labels = self._inside(affine)
            if labels is not None:
                mask = labels if mask is None else mask & labels
            clipped.append(np.clip(entry, 0, length - 1))
        value = np.asarray(array[tuple(clipped)])
        if value.dtype == bool:
            value = np.where(
                value, self.setting.arithmetic.number(1), self.setting.arithmetic.number(0)
            )
        return value, mask

    def _inside(self, affine: Affine) -> Any:
        """Where every label of an index expression is read inside its array; None: everywhere."""
        mask: Any = None
        for label in affine.labels():
            array = np.asarray(self.known[label.tensor.name])
            for e, length in zip(label.index, array.shape, strict=True):
                entry = self._entry(e)
                inside = (entry >= 0) & (entry < length)
                deeper = self._inside(e)
                inside = inside if deeper is None else inside & deeper
                if not inside.all():
                    mask = inside if mask is None else mask & inside
        return mask

    def _entry(self, affine: Affine) -> Any:
        """An index expression as an integer array over the grid."""
        rank = len(self.indices)
        total: Any = np.full((1,) * rank, self.setting.size(affine.const), dtype=np.int64)
        for position, coefficient in affine.terms:
            by = self.setting.size(coefficient)
            if isinstance(position, Label):
                array = np.asarray(self.known[position.tensor.name])
                # Outside its array a label has no value; `_inside` masks the product there.
                entries = [
                    np.clip(self._entry(e), 0, length - 1)
                    for e, length in zip(position.index, array.shape, strict=True)
                ]
                part = array[tuple(entries)] if entries else array
                total = total + by * part.astype(np.int64).reshape(
                    part.shape if entries else (1,) * rank
                )
            else:
                axis = self.indices.index(position)
                shape = [1] * rank
                shape[axis] = self.lengths[axis]
                total = total + by * np.arange(self.lengths[axis]).reshape(shape)
        return total


def _like(arithmetic: Arithmetic, numbers: Any) -> Any:
    zero = arithmetic.zeros(())
    return numbers.astype(zero.dtype)


_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
