"""Indices, affine index expressions and tensors: what stands between ``[`` and ``]``.

An index expression is affine: ``2*i + p - pad``.  Beside indices it may hold labels, which are
entries of an integer tensor (``S[n, y[n]]``).  Objects compare by `key`, a text that is unique
for their value, because the normal form compares and sorts them all the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal, TypeAlias

from gradtool.ir.dims import ONE, ZERO, Dim
from gradtool.ir.lazy import lazy
from gradtool.records import Own, Struct

Kind: TypeAlias = Literal["real", "index", "bool"]


class Tensor(Struct, frozen=True):
    """A named array: ordered axes, each with a symbolic size.

    `labels` is, for a tensor of integers that index an axis, the size of that axis.
    """

    name: str
    shape: tuple[Dim, ...]
    kind: Kind = "real"
    labels: Dim | None = None


class Index(Own, frozen=True, eq=False, dict=True):
    """An index variable that runs over ``0 .. size-1``."""

    name: str
    size: Dim

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Index) and self.name == other.name and self.size == other.size
        )

    def __hash__(self) -> int:
        return self._hash

    @lazy
    def _hash(self) -> int:
        return hash((self.name, self.size))

    @property
    def key(self) -> str:
        return self.name

    @lazy
    def alone(self) -> Affine:
        """The index expression that is just this index; 0 when it has one value only."""
        return Affine((), ZERO) if self.size == ONE else Affine(((self, ONE),), ZERO)


class Label(Own, frozen=True, eq=False, dict=True):
    """An entry of an integer tensor used as an index: ``y[n]``."""

    tensor: Tensor
    index: tuple[Affine, ...]

    @lazy
    def key(self) -> str:
        return f"{self.tensor.name}[{','.join(e.key for e in self.index)}]"

    @lazy
    def index_set(self) -> frozenset[Index]:
        return frozenset[Index]().union(*(e.indices for e in self.index))

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Label) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)


Position: TypeAlias = "Index | Label"


class Affine(Own, frozen=True, eq=False, dict=True):
    """``const + sum of coefficient * position``; `terms` is sorted and has no zero coefficient."""

    terms: tuple[tuple[Position, Dim], ...]
    const: Dim

    @staticmethod
    def of(value: Affine | Position | Dim | int) -> Affine:
        if isinstance(value, Affine):
            return value
        if isinstance(value, Index):
            return value.alone
        if isinstance(value, Label):
            return Affine(((value, ONE),), ZERO)
        return Affine((), Dim.of(value))

    @lazy
    def key(self) -> str:
        parts = [p.key if c == ONE else f"({c})*{p.key}" for p, c in self.terms]
        if self.const != ZERO or not parts:
            parts.append(str(self.const))
        return "+".join(parts)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Affine) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)

    def __add__(self, other: Affine | Position | Dim | int) -> Affine:
        right = Affine.of(other)
        if not right.terms:
            if not right.const.terms:
                return self
            return Affine(self.terms, self.const + right.const)
        collected = dict(self.terms)
        for position, coefficient in right.terms:
            seen = collected.get(position)
            collected[position] = coefficient if seen is None else seen + coefficient
        return _affine(collected, self.const + right.const)

    def __mul__(self, factor: Dim | int) -> Affine:
        by = Dim.of(factor)
        if by == ONE:
            return self
        if by == ZERO:
            return Affine((), ZERO)
        # No product of sizes other than zero is zero: the terms stay, in their order.
        return Affine(tuple((p, c * by) for p, c in self.terms), self.const * by)

    def divided_by(self, factor: Dim) -> Affine | None:
        """What gives this when it is multiplied with a factor; None when nothing whole does."""
        if factor == ONE:
            return self
        const = self.const.divided_by(factor)
        terms = [(p, c.divided_by(factor)) for p, c in self.terms]
        if const is None:
            return None
        whole = {p: c for p, c in terms if c is not None}
        return _affine(whole, const) if len(whole) == len(terms) else None

    def __neg__(self) -> Affine:
        return self._negative

    @lazy
    def _negative(self) -> Affine:
        return Affine(tuple((p, -c) for p, c in self.terms), -self.const)

    def __sub__(self, other: Affine | Position | Dim | int) -> Affine:
        return self + (-Affine.of(other))

    @lazy
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

    @lazy
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
        bare = self.as_index
        if bare is not None:
            return values.get(bare, self)
        if self.indices.isdisjoint(values):
            return self
        collected: dict[Position, Dim] = {}
        const = self.const
        for position, coefficient in self.terms:
            if isinstance(position, Label):
                inner = tuple(e.substitute(values) for e in position.index)
                moved = Affine.of(Label(position.tensor, inner))
            else:
                moved = values.get(position, position.alone)
            for new, by in moved.terms:
                seen = collected.get(new)
                product = by * coefficient
                collected[new] = product if seen is None else seen + product
            const = const + moved.const * coefficient
        return _affine(collected, const)

    def bounds(self) -> tuple[Dim, Dim] | None:
        """The smallest and largest value, when every coefficient has a provable sign."""
        return self._bounds

    @lazy
    def _bounds(self) -> tuple[Dim, Dim] | None:
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
    kept = [item for item in terms.items() if item[1].terms]
    if len(kept) > 1:
        kept.sort(key=_by_key)
    return Affine(tuple(kept), const)


def _by_key(item: tuple[Position, Dim]) -> str:
    return item[0].key


@lru_cache(maxsize=16384)
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
