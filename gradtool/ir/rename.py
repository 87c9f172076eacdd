"""Canonical names for summed indices: equal sums look equal, whatever their indices were called."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from fractions import Fraction
from typing import Protocol, Self, TypeVar

from gradtool.ir.index import Affine, Index


class Part(Protocol):
    """What a product is made of."""

    @property
    def key(self) -> str: ...

    @property
    def indices(self) -> frozenset[Index]: ...

    @property
    def inner_sums(self) -> frozenset[str]: ...

    @property
    def oriented(self) -> Self: ...

    def substitute(self, values: Mapping[Index, Affine]) -> Self: ...


A = TypeVar("A", bound=Part)


def canonical_names(
    collected: dict[A, Fraction], bound: tuple[Index, ...]
) -> tuple[dict[A, Fraction], tuple[Index, ...]]:
    """Rename the summed indices of a product by what they do."""
    groups = _alike(collected, bound) if len(bound) > 1 else [list(bound)]
    free_names = _free_names(collected, bound)
    best: tuple[list[str], dict[A, Fraction], tuple[Index, ...]] | None = None
    only = all(len(group) == 1 for group in groups)
    orders = itertools.product(*(itertools.permutations(g) for g in groups))
    for order in itertools.islice(orders, 24):
        sequence = list(itertools.chain.from_iterable(order))
        names = tuple(Index(n, old.size) for n, old in zip(free_names, sequence, strict=True))
        values = {
            old: new.alone for old, new in zip(sequence, names, strict=True) if old.name != new.name
        }
        renamed: dict[A, Fraction] = collected if not values else {}
        for a, e in collected.items() if values else ():
            moved = a.substitute(values).oriented
            renamed[moved] = e if moved not in renamed else renamed[moved] + e
        if only:
            return renamed, names
        text = sorted(f"{a.key}^{e}" for a, e in renamed.items())
        if best is None or text < best[0]:
            best = text, renamed, names
    assert best is not None
    return best[1], best[2]


def _alike(collected: Mapping[A, Fraction], bound: tuple[Index, ...]) -> list[list[Index]]:
    """The bound indices, sorted by what they do; those that do the same are in one group."""
    by_size: dict[str, list[Index]] = {}
    for index in bound:
        by_size.setdefault(str(index.size), []).append(index)
    neutral = {i: Index("*", i.size).alone for i in bound}

    def signature(index: Index) -> list[str]:
        values = {**neutral, index: Index("@", index.size).alone}
        return sorted(
            f"{a.substitute(values).key}^{e}" for a, e in collected.items() if index in a.indices
        )

    groups: list[list[Index]] = []
    for size_text in sorted(by_size):
        members = by_size[size_text]
        if len(members) == 1:
            groups.append(members)
            continue
        ranked = sorted(((signature(i), i) for i in members), key=lambda pair: pair[0])
        groups += [
            [index for _, index in same]
            for _, same in itertools.groupby(ranked, key=lambda pair: pair[0])
        ]
    return groups


def _free_names(collected: Mapping[A, Fraction], bound: tuple[Index, ...]) -> list[str]:
    """Canonical names for bound indices that nothing else in the product has."""
    taken = {i.name for a in collected for i in a.indices if i not in bound}
    for a in collected:
        taken |= a.inner_sums
    fresh = (f"${k}" for k in itertools.count())
    return list(itertools.islice((n for n in fresh if n not in taken), len(bound)))
