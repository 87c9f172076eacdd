"""The plain factors of a product: entries of tensors, names, numbers, and 0/1 factors of indices.

They are compared by their canonical text.  Factors that hold expressions are in `ir/poly.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Literal, Self

from gradtool.ir.dims import Dim
from gradtool.ir.index import Affine, Index, Tensor, nonnegative
from gradtool.ir.lazy import lazy
from gradtool.records import Own


class ByKey(Own, frozen=True, eq=False, dict=True):
    """Atoms compare, hash and sort by their canonical text."""

    @property
    def key(self) -> str:
        raise NotImplementedError

    @property
    def inner_sums(self) -> frozenset[str]:
        """Names of indices that are summed inside; an outer sum must not use them."""
        return frozenset()

    @property
    def mentions(self) -> frozenset[str]:
        """Names of the tensors whose entries occur, inside functions too; labels do not count."""
        return frozenset()

    @property
    def is_condition(self) -> bool:
        """Whether the value is 0 or 1, as a condition holds."""
        return False

    @property
    def oriented(self) -> Self:
        """The same value in the one form that is kept."""
        return self

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, ByKey) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)


class Access(ByKey, frozen=True, eq=False, dict=True):
    """An entry of a real (or 0/1) tensor: ``X[n, 2*i + p]``."""

    tensor: Tensor
    index: tuple[Affine, ...]

    @lazy
    def key(self) -> str:
        return f"{self.tensor.name}[{','.join(e.key for e in self.index)}]"

    @lazy
    def mentions(self) -> frozenset[str]:
        return frozenset((self.tensor.name,))

    @property
    def is_condition(self) -> bool:
        return self.tensor.kind == "bool"

    @lazy
    def inside(self) -> bool:
        """Whether it provably lies in its tensor wherever it stands."""
        return all(
            (index is not None and index.size == axis) or entry.within(axis)
            for axis, entry in zip(self.tensor.shape, self.index, strict=True)
            for index in [entry.as_index]
        )

    @property
    def guards(self) -> Iterator[Iverson]:
        """The 0/1 factors that hold where it lies in its tensor."""
        for axis, entry in zip(self.tensor.shape, self.index, strict=True):
            if not entry.within(axis):
                yield Iverson("ge", entry)
                yield Iverson("ge", Affine.of(axis - 1) - entry)

    @lazy
    def outside(self) -> bool:
        """Whether it provably lies outside its tensor wherever it stands."""
        for axis, entry in zip(self.tensor.shape, self.index, strict=True):
            bounds = None if entry.as_index is not None else entry.bounds()
            if bounds is not None and (
                nonnegative(-bounds[1] - 1) or nonnegative(bounds[0] - axis)
            ):
                return True
        return False

    @lazy
    def indices(self) -> frozenset[Index]:
        return frozenset().union(*(e.indices for e in self.index))

    def substitute(self, values: Mapping[Index, Affine]) -> Access:
        if self.indices.isdisjoint(values):
            return self
        return Access(self.tensor, tuple(e.substitute(values) for e in self.index))


class Symbol(ByKey, frozen=True, eq=False):
    """A number known by name: a dimension, a constant of the spec, or pi."""

    name: str

    @property
    def key(self) -> str:
        return self.name

    indices = frozenset[Index]()

    def substitute(self, values: Mapping[Index, Affine]) -> Symbol:
        return self


class Size(ByKey, frozen=True, eq=False, dict=True):
    """A size that is no product of names, as a number: ``(H - K + 1)``."""

    dim: Dim

    @lazy
    def key(self) -> str:
        return f"({self.dim})"

    indices = frozenset[Index]()

    def substitute(self, values: Mapping[Index, Affine]) -> Size:
        return self


class Number(ByKey, frozen=True, eq=False, dict=True):
    """A positive rational under a fractional exponent: the 2 of ``sqrt(2)``."""

    value: Fraction

    @lazy
    def key(self) -> str:
        return f"#{self.value}"

    indices = frozenset[Index]()

    def substitute(self, values: Mapping[Index, Affine]) -> Number:
        return self


class Iverson(ByKey, frozen=True, eq=False, dict=True):
    """A 0/1 factor of indices: ``[value == 0]`` or ``[value >= 0]``."""

    relation: Literal["eq", "ge"]
    value: Affine

    @lazy
    def key(self) -> str:
        return f"[{self.relation} {self.value.key}]"

    @property
    def is_condition(self) -> bool:
        return True

    @property
    def indices(self) -> frozenset[Index]:
        return self.value.indices

    @lazy
    def decided(self) -> bool | None:
        """Whether it always holds or never holds; None when that is not known."""
        dim = self.value.as_dim
        if dim is not None and dim.as_int is not None:
            return dim.as_int == 0 if self.relation == "eq" else dim.as_int >= 0
        bounds = self.value.bounds()
        if bounds is None:
            return None
        low, high = bounds
        if self.relation == "ge":
            if nonnegative(low):
                return True
            if nonnegative(-high - 1):
                return False
        elif nonnegative(low - 1) or nonnegative(-high - 1):
            return False
        return None

    @lazy
    def oriented(self) -> Iverson:
        """``[a - b == 0]`` and ``[b - a == 0]`` are one factor."""
        if self.relation == "eq":
            flipped = -self.value
            if flipped.key < self.value.key:
                return Iverson("eq", flipped)
        return self

    def substitute(self, values: Mapping[Index, Affine]) -> Iverson:
        if self.value.indices.isdisjoint(values):
            return self
        return Iverson(self.relation, self.value.substitute(values))


class Position(ByKey, frozen=True, eq=False, dict=True):
    """An index used as a number: the entries of ``arange``."""

    value: Affine

    @lazy
    def key(self) -> str:
        return f"<{self.value.key}>"

    @property
    def indices(self) -> frozenset[Index]:
        return self.value.indices

    def substitute(self, values: Mapping[Index, Affine]) -> Position:
        if self.value.indices.isdisjoint(values):
            return self
        return Position(self.value.substitute(values))


def size_factors(dim: Dim) -> tuple[Fraction, tuple[tuple[Symbol | Size, Fraction], ...]]:
    if not dim.terms:
        return Fraction(0), ()
    if len(dim.terms) == 1:
        ((monomial, coefficient),) = dim.terms
        factors: list[tuple[Symbol | Size, Fraction]] = []
        for part, power in monomial:
            whole = Dim(((((part, 1),), 1),))
            base = Symbol(part) if isinstance(part, str) else Size(whole)
            factors.append((base, Fraction(power)))
        return Fraction(coefficient), tuple(factors)
    return Fraction(1), ((Size(dim), Fraction(1)),)
