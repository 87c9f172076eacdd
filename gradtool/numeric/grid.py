"""Evaluate statements straight from their index notation, in any arithmetic.

Every term is computed on the grid of its free and bound indices, exactly as it reads.  That is
slow and simple on purpose: it is the meaning of a statement, and it runs in double precision or
with as many digits as wanted.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from gradtool.ir.dims import Dim
from gradtool.ir.errors import TooLargeError, UnsupportedError, at_line
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
    atom,
)
from gradtool.numeric.branches import Branches
from gradtool.numeric.places import Array, Place, Places, index_values, place_of
from gradtool.ops.scalar import FUNCTIONS
from gradtool.records import Struct, field

_LARGEST = 2**25  # entries of one grid: 256 MB of doubles


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


class Setting(Struct, frozen=True, eq=False):
    """What an evaluation needs beside the tensors.

    Attributes:
        sizes: the value of every dimension and integer constant.
        numbers: the value of every real constant.
        arithmetic: the precision.
        places: what evaluations found out before about the positions in arrays.
        branches: what records or repeats the choices of a pass; None: nobody asks for them.
    """

    sizes: Mapping[str, int]
    numbers: Mapping[str, Fraction]
    arithmetic: Arithmetic
    places: Places = field(default_factory=dict)
    branches: Branches | None = None

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
    fixed: dict[str, Array] = {}
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
            made = result_of(statement, loops[id(loop)][statement.source], known, setting)
            known[statement.out.name] = _array(made)
        else:
            with at_line(statement.line):
                known[statement.out.name] = _array(evaluate(statement, known, setting, fixed))
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


def result_of(
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
        result[index] = value if np.ndim(value) else np.asarray(value)[()]
    return result


def _array(value: Any) -> Array:
    """A scalar object stays an array of rank 0."""
    if isinstance(value, np.ndarray):
        return value
    holder = np.empty((), dtype=object if not isinstance(value, float | int | np.generic) else None)
    holder[()] = value
    return holder


def evaluate(
    statement: AnyStatement,
    known: Mapping[str, Array],
    setting: Setting,
    fixed: dict[str, Array] | None = None,
) -> Array:
    """The value of one statement.

    `fixed` remembers the integer forms of the known arrays between statements of one run.
    """
    shape = tuple(setting.size(dim) for dim in statement.out.shape)
    if setting.branches is not None:
        setting.branches.line = statement.line
    if any(size < 1 for size in shape):
        raise UnsupportedError(f"the shape {shape} of {statement.out.name} has an empty axis")
    match statement:
        case Reshape(operand=operand):
            return known[operand.name].reshape(shape)
        case Scan():
            return run((statement,), known, setting)[statement.out.name]
        case MatrixFunction(function=function, operands=operands):
            return setting.arithmetic.matrix(function, known[operands[0].name])
        case Statement(reduce="sum"):
            return _Grid(statement.free, known, setting, fixed).poly(statement.body)
        case Statement(free=free, bound=bound):
            grid = _Grid((*free, *bound), known, setting, fixed)
            return _extremum(statement, shape, grid)
    raise UnsupportedError(type(statement).__name__)


def _extremum(statement: Statement, shape: tuple[int, ...], grid: _Grid) -> Array:
    values = grid.poly(statement.body).reshape(*shape, -1)
    flipped = -values if statement.reduce in ("min", "argmin") else values
    best = np.asarray(np.argmax(flipped, axis=-1))
    branches = grid.setting.branches
    if branches is not None:
        largest = np.take_along_axis(flipped, best[..., None], axis=-1)
        best = branches.best(statement.free, best, np.asarray(largest - flipped))
    if statement.reduce in ("argmax", "argmin"):
        return best
    return np.take_along_axis(values, best[..., None], axis=-1)[..., 0]


class _Grid:
    """Arrays over a tuple of indices; axes that a factor does not use have the length 1."""

    def __init__(
        self,
        indices: tuple[Index, ...],
        known: Mapping[str, Array],
        setting: Setting,
        fixed: dict[str, Array] | None = None,
    ) -> None:
        self.known = known
        self.setting = setting
        self.indices = indices
        self.fixed = {} if fixed is None else fixed
        self.lengths = [setting.size(i.size) for i in indices]
        self.ones = (1,) * len(indices)

    def poly(self, body: Poly) -> Array:
        """The sum of the terms, over the whole grid."""
        if not body.terms:
            return self.setting.arithmetic.zeros(tuple(self.lengths))
        total = self._term(body.terms[0])
        for term in body.terms[1:]:
            total = total + self._term(term)
        return np.broadcast_to(total, tuple(self.lengths)) if self.lengths else np.asarray(total)

    def _term(self, term: Term) -> Array:
        """A term, summed over its bound indices; axes that it does not use have the length 1."""
        rank = len(self.indices)
        inner = self
        if term.bound:
            inner = _Grid((*self.indices, *term.bound), self.known, self.setting, self.fixed)
            if math.prod(inner.lengths) > _LARGEST:
                raise TooLargeError(
                    f"a sum over {math.prod(inner.lengths):,} products is not evaluated one by one"
                )
            exact = inner.multilinear(term, rank)
            if exact is not None:
                return exact
        value, mask = inner.product(term)
        if mask is not None:
            value = np.where(mask, value, self.setting.arithmetic.number(0))
        return inner.summed(np.asarray(value), rank) if term.bound else value

    def summed(self, value: Array, rank: int) -> Array:
        """The sum over all axes from `rank` on."""
        last = self.lengths[rank:]
        if list(value.shape[rank:]) != last:
            # An index that no factor uses would be summed once instead of size times: expand it.
            value = np.broadcast_to(value, (*value.shape[:rank], *last))
        return np.asarray(value.sum(axis=tuple(range(rank, len(self.indices)))), value.dtype)

    def multilinear(self, term: Term, rank: int) -> Array | None:
        """A sum of plain products of entries, in integers where the arithmetic has a way to.

        Multiplying and adding integers is some twenty times faster than high-precision floats,
        and this is where nearly all the work of a matrix product or a convolution is.
        """
        arithmetic = self.setting.arithmetic
        if not arithmetic.fixed_bits:
            return None
        value: Any = None
        mask: Any = None
        count = 0
        rest: list[tuple[Atom, Fraction]] = []
        for base, exponent in term.factors:
            if isinstance(base, Access):
                if exponent.denominator != 1 or exponent < 0:
                    return None
                integers, inside = self._gather(base, fixed=True)
                if integers is None:
                    return None
                for _ in range(int(exponent)):
                    value = integers if value is None else value * integers
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
        if value is None:
            value = np.full(self.ones, 1, dtype=object)
        if mask is not None:
            value = np.where(mask, value, 0)
        result = arithmetic.from_fixed(self.summed(value, rank), count)
        scale, holds = _Grid((), self.known, self.setting).product(
            Term(term.coefficient, tuple(rest))
        )
        if holds is not None and not np.all(holds):
            scale = arithmetic.number(0)
        return np.asarray(result * np.asarray(scale).reshape(()), dtype=object)

    def product(self, term: Term) -> tuple[Array, Any]:
        """The product of the factors, and the mask of where it is not forced to zero."""
        arithmetic = self.setting.arithmetic
        value: Any = None
        if term.coefficient != 1 or not term.factors:
            value = np.full(self.ones, arithmetic.number(term.coefficient))
        mask: Any = None
        for base, exponent in term.factors:
            factor, inside = self._atom(base)
            if base.is_condition:
                holds = np.asarray(factor != 0, dtype=bool)
                inside = holds if inside is None else inside & holds
            else:
                if inside is not None:
                    factor = np.where(inside, factor, arithmetic.number(1))
                self._power(base, factor, exponent)
                power = arithmetic.power(factor, exponent)
                value = power if value is None else value * power
            if inside is not None:
                mask = inside if mask is None else mask & inside
        if value is None or not np.ndim(value):
            value = np.full(self.ones, arithmetic.number(1) if value is None else value)
        return value, mask

    def _scalar(self, body: Poly) -> tuple[Array, Any]:
        """A sum inside a function or a denominator, and where any of its terms is inside."""
        total: Any = None
        anywhere: Any = not body.terms or None
        for term in body.terms:
            value, mask = self.product(term)
            if mask is not None:
                value = np.where(mask, value, self.setting.arithmetic.number(0))
            if mask is None or anywhere is True:
                anywhere = True
            else:
                anywhere = mask if anywhere is None else anywhere | mask
            total = value if total is None else total + value
        if total is None:
            total = np.full(self.ones, self.setting.arithmetic.number(0))
            anywhere = np.zeros(self.ones, dtype=bool)
        return total, None if np.all(anywhere) else anywhere

    def _atom(self, base: Atom) -> tuple[Array, Any]:
        arithmetic = self.setting.arithmetic
        match base:
            case Access():
                return self._gather(base)
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
                numbers = np.vectorize(lambda v: arithmetic.number(int(v)), otypes=[object])(entry)
                return _like(arithmetic, numbers), None
            case Iverson(relation=relation, value=value):
                entry = self._entry(value)
                holds = entry == 0 if relation == "eq" else entry >= 0
                inside = self._inside(value)
                return holds if inside is None else holds & inside, None
            case Compare(relation=relation, left=left, right=right):
                a, _ = self._scalar(left)
                b, _ = self._scalar(right)
                holds = np.asarray(_RELATIONS[relation](a, b), dtype=bool)
                if self.setting.branches is not None:
                    holds = self.setting.branches.compared(base, self.indices, holds, a, b)
                return holds, None
            case Group(poly=poly):
                return self._scalar(poly)
            case Function(args=args):
                return self._function(base, [self._scalar(arg)[0] for arg in args]), None
        raise UnsupportedError(type(base).__name__)

    def _function(self, base: Function, values: list[Array]) -> Array:
        arithmetic, branches = self.setting.arithmetic, self.setting.branches
        name = base.name
        found = arithmetic.function(name, values)
        if branches is None:
            return found
        if name == "pow":
            self._root(base.args[0], values[0])
        elif FUNCTIONS[name].kinks:
            gap: Any = 1
            for kink in FUNCTIONS[name].kinks:
                gap = gap * (values[0] - arithmetic.number(int(kink)))
            return branches.at_kinks(base, self.indices, found, np.asarray(gap))
        return found

    def _power(self, base: Atom, values: Array, exponent: Fraction) -> None:
        branches = self.setting.branches
        if branches is not None and (
            exponent.denominator != 1 or (exponent < 0 and branches.quotients)
        ):
            self._root(base, values)

    def _root(self, base: Atom | Poly, values: Array) -> None:
        """Tell of a power of zero that has no finite slope."""
        branches = self.setting.branches
        if branches is not None and np.any(np.asarray(values) == 0):
            branches.root_of_zero(base if isinstance(base, Poly) else atom(base), self.indices)

    def _gather(self, base: Access, fixed: bool = False) -> tuple[Array, Any]:
        """The entries over the grid, as integers with `fixed`, and where they are inside."""
        name = base.tensor.name
        array = np.asarray(self.known[name])
        if fixed:
            if name not in self.fixed:
                made = self.setting.arithmetic.to_fixed(self._numbers(array))
                self.fixed[name] = None if made is None else np.asarray(made, dtype=object)
            array = self.fixed[name]
            if array is None:
                return None, None
        if any(True for e in base.index for _ in e.labels()):
            value, mask = self._chosen(array, base.index)
        else:
            found = self._place(base, array.shape)
            value, mask = found.read(array), found.mask
        return (value if fixed else self._numbers(value)), mask

    def _numbers(self, value: Array) -> Array:
        """Truth values as the numbers 1 and 0."""
        if value.dtype != bool:
            return value
        arithmetic = self.setting.arithmetic
        return np.where(value, arithmetic.number(1), arithmetic.number(0))

    def _place(self, base: Access, shape: tuple[int, ...]) -> Place:
        key = (id(base), self.indices, shape)
        known = self.setting.places.get(key)
        if known is None:
            made = place_of(base.index, shape, self.indices, self.lengths, self.setting.size)
            known = self.setting.places[key] = base, made
        found: Place = known[1]
        return found

    def _chosen(self, array: Array, index: tuple[Affine, ...]) -> tuple[Array, Any]:
        """Entries of which labels tell the place."""
        mask: Any = None
        clipped = []
        for affine, length in zip(index, array.shape, strict=True):
            entry = self._entry(affine)
            inside = (entry >= 0) & (entry < length)
            if not inside.all():
                mask = inside if mask is None else mask & inside
            labels = self._inside(affine)
            if labels is not None:
                mask = labels if mask is None else mask & labels
            clipped.append(np.clip(entry, 0, length - 1))
        return np.asarray(array[tuple(clipped)]), mask

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
        chosen = [(p, c) for p, c in affine.terms if isinstance(p, Label)]
        if not chosen:
            key = (id(affine), self.indices)
            known = self.setting.places.get(key)
            if known is None:
                made = index_values(affine, self.indices, self.lengths, self.setting.size)
                known = self.setting.places[key] = affine, made
            return known[1]
        plain = Affine(tuple(t for t in affine.terms if t not in chosen), affine.const)
        total = index_values(plain, self.indices, self.lengths, self.setting.size)
        for label, coefficient in chosen:
            array = np.asarray(self.known[label.tensor.name])
            # Outside its array a label has no value; `_inside` masks the product there.
            entries = [
                np.clip(self._entry(e), 0, length - 1)
                for e, length in zip(label.index, array.shape, strict=True)
            ]
            part = array[tuple(entries)] if entries else array.reshape(self.ones)
            total = total + self.setting.size(coefficient) * np.asarray(part).astype(np.int64)
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
