"""What a nested form is made of: products of units, sums of products, choices, contractions."""

from __future__ import annotations

from fractions import Fraction
from typing import TypeAlias

from gradtool.ir.index import Index
from gradtool.ir.poly import Atom, Compare, Term
from gradtool.records import Own, Struct


class Contraction(Own, frozen=True, eq=False):
    """``sum over bound of the product of factors``; connected, so it cannot be split.

    With `mean` it is divided by the sizes that it is summed over.
    """

    term: Term
    mean: bool = False

    @property
    def indices(self) -> frozenset[Index]:
        return self.term.indices

    @property
    def key(self) -> str:
        return f"mean {self.term.key}" if self.mean else self.term.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Contraction) and self.key == other.key


class Sum(Own, frozen=True, eq=False):
    """Products added up, in the order in which they are written."""

    products: tuple[Product, ...]

    @property
    def indices(self) -> frozenset[Index]:
        return frozenset[Index]().union(*(p.indices for p in self.products))

    @property
    def key(self) -> str:
        return "(" + " + ".join(p.key for p in self.products) + ")"

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sum) and self.key == other.key


class Choice(Own, frozen=True, eq=False):
    """``where(condition, yes, no)``."""

    condition: Compare
    yes: Sum
    no: Sum

    @property
    def indices(self) -> frozenset[Index]:
        return self.condition.indices | self.yes.indices | self.no.indices

    @property
    def key(self) -> str:
        return f"where({self.condition.key}, {self.yes.key}, {self.no.key})"

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choice) and self.key == other.key


Unit: TypeAlias = "Atom | Contraction | Sum | Choice"


class Product(Struct, frozen=True):
    """``coefficient * product of unit**exponent``."""

    coefficient: Fraction
    factors: tuple[tuple[Unit, Fraction], ...]

    @property
    def indices(self) -> frozenset[Index]:
        return frozenset[Index]().union(*(u.indices for u, _ in self.factors))

    @property
    def key(self) -> str:
        inner = "*".join(f"{u.key}^{e}" for u, e in self.factors)
        return f"{self.coefficient}*{inner}"
