"""Indices, affine index expressions and tensors: what stands between ``[`` and ``]``.

An index expression is affine: ``2*i + p - pad``.  Beside indices it may hold labels, which are
entries of an integer tensor (``S[n, y[n]]``).  Objects compare by `key`, a text that is unique
for their value, because the normal form compares and sorts them all the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from gradtool.ir.dims import ONE, ZERO, Dim

Kind: TypeAlias = Literal["real", "index", "bool"]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named array: ordered axes, each with a symbolic size.

    `labels` is, for a tensor of integers that index an axis, the size of that axis.
    """

    name: str
    shape: tuple[Dim, ...]
    kind: Kind = "real"
    labels: Dim | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """An index variable that runs over ``0 .. size-1``."""

    name: str
    size: Dim

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True)
class Label:
    """An entry of an integer tensor used as an index: ``y[n]``."""

    tensor: Tensor
    index: tuple[Affine, ...]

    @cached_property
    def key(self) -> str:
        return f"{self.tensor.name}[{','.join(e.key for e in self.index)}]"

    @cached_property
    def index_set(self) -> frozenset[Index]:
        return frozenset[Index]().union(*(e.indices for e in self.index))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Label) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


Position: TypeAlias = "Index | Label"


@dataclass(frozen=True)
class Affine:
    """``const + sum of coefficient * position``; `terms` is sorted and has no zero coefficient."""

    terms: tuple[tuple[Position, Dim], ...]
    const: Dim

    @staticmethod
    def of(value: Affine | Position | Dim | int) -> Affine:
        if isinstance(value, Affine):
            return value
        if isinstance(value, Index):
            return Affine((), ZERO) if value.size == ONE else Affine(((value, ONE),), ZERO)
        if isinstance(value, Label):
            return Affine(((value, ONE),), ZERO)
        return Affine((), Dim.of(value))

    @cached_property
    def key(self) -> str:
        parts = [p.key if c == ONE else f"({c})*{p.key}" for p, c in self.terms]
        if self.const != ZERO or not parts:
            parts.append(str(self.const))
        return "+".join(parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Affine) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __add__(self, other: Affine | Position | Dim | int) -> Affine:
        right = Affine.of(other)
        collected = dict(self.terms)
        for position, coefficient in right.terms:
            collected[position] = collected.get(position, ZERO) + coefficient
        return _affine(collected, self.const + right.const)

    def __mul__(self, factor: Dim | int) -> Affine:
        by = Dim.of(factor)
        return _affine({p: c * by for p, c in self.terms}, self.const * by)

    def __neg__(self) -> Affine:
        return self * -1

    def __sub__(self, other: Affine | Position | Dim | int) -> Affine:
        return self + (-Affine.of(other))

    @property
    def as_index(self) -> Index | None:
        """The index when the expression is one bare index."""
        if len(self.terms) == 1 and self.const == ZERO and self.terms[0][1] == ONE:
            position = self.terms[0][0]
            return position if isinstance(position, Index) else None
        return None

    @property
    def as_label(self) -> Label | None:
        """The label when the expression is one bare label."""
        if len(self.terms) == 1 and self.const == ZERO and self.terms[0][1] == ONE:
            position = self.terms[0][0]
            return position if isinstance(position, Label) else None
        return None

    @property
    def as_dim(self) -> Dim | None:
        """The size when no index or label occurs."""
        return None if self.terms else self.const

    @cached_property
    def indices(self) -> frozenset[Index]:
        found: set[Index] = set()
        for position, _ in self.terms:
            if isinstance(position, Index):
                found.add(position)
            else:
                for inner in position.index:
                    found |= inner.indices
        return frozenset(found)

    def coefficient(self, index: Index) -> Dim:
        for position, coefficient in self.terms:
            if position == index:
                return coefficient
        return ZERO

    def labels(self) -> Iterable[Label]:
        return (p for p, _ in self.terms if isinstance(p, Label))

    def substitute(self, values: Mapping[Index, Affine]) -> Affine:
        if not any(index in values for index in self.indices):
            return self
        result = Affine((), self.const)
        for position, coefficient in self.terms:
            if isinstance(position, Label):
                moved = Label(position.tensor, tuple(e.substitute(values) for e in position.index))
                result = result + Affine.of(moved) * coefficient
            else:
                result = result + values.get(position, Affine.of(position)) * coefficient
        return result

    def bounds(self) -> tuple[Dim, Dim] | None:
        """The smallest and largest value, when every coefficient has a provable sign."""
        low = high = self.const
        for position, coefficient in self.terms:
            if isinstance(position, Label):
                if position.tensor.labels is None:
                    return None
                reach = (position.tensor.labels - 1) * coefficient
            else:
                reach = (position.size - 1) * coefficient
            if nonnegative(coefficient):
                high = high + reach
            elif nonnegative(-coefficient):
                low = low + reach
            else:
                return None
        return low, high

    def within(self, size: Dim) -> bool:
        """Whether ``0 <= value < size`` is provable."""
        bounds = self.bounds()
        return bounds is not None and nonnegative(bounds[0]) and nonnegative(size - 1 - bounds[1])


def _affine(terms: Mapping[Position, Dim], const: Dim) -> Affine:
    kept = ((p, c) for p, c in terms.items() if c != ZERO)
    return Affine(tuple(sorted(kept, key=lambda item: item[0].key)), const)


def nonnegative(dim: Dim) -> bool:
    """Whether a size is provably >= 0, given that every named size is at least 1.

    Sufficient, not necessary: shifts every symbol to ``1 + s`` and looks at the signs; a floor
    division counts through ``d*(a//d) <= a``.
    """
    value = dim.as_int
    if value is not None:
        return value >= 0
    lowered = _without_floors(dim)
    if lowered is None:
        return False
    shifted = lowered.substitute({s: Dim.of(s) + 1 for s in lowered.symbols})
    return all(coefficient >= 0 for _, coefficient in shifted.terms)


def _without_floors(dim: Dim) -> Dim | None:
    """A lower bound of `dim` without floor divisions, or None."""
    result = ZERO
    for monomial, coefficient in dim.terms:
        floors = [atom for atom, _ in monomial if not isinstance(atom, str)]
        if not floors:
            result = result + Dim(((monomial, coefficient),))
            continue
        if len(floors) > 1 or dict(monomial)[floors[0]] != 1:
            return None
        rest = Dim(((tuple(item for item in monomial if item[0] != floors[0]), coefficient),))
        if coefficient > 0:
            continue  # a//d >= 0 wherever the size makes sense
        # -k*d*(a//d) >= -k*a
        factor = rest.divided_by(floors[0].denominator)
        if factor is None:
            return None
        result = result + factor * floors[0].numerator
    return result
