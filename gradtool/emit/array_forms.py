"""Elementwise arithmetic as sums and products with shapes, so that its cost can be seen.

``gamma / (N * std) * (N * dY - dbeta)`` is a product of four factors of three sizes.  Which of
them are multiplied first does not change the value, but decides how often memory is walked
through.  Nothing is expanded here, and nothing that is not arithmetic is looked into.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import TypeAlias

from gradtool.ir.dims import ONE, Dim
from gradtool.ir.tree import Name, Tree, names
from gradtool.records import Struct

Shape: TypeAlias = tuple[Dim, ...]


class Leaf(Struct, frozen=True):
    """Anything that is not arithmetic: a name, a matrix product, a function of something.

    Attributes:
        real: false for positions and 0/1 arrays, which arithmetic must not start from.
        fresh: whether evaluating it makes an array that nothing else refers to.
    """

    tree: Tree
    shape: Shape
    real: bool = True
    fresh: bool = False


class Product(Struct, frozen=True):
    """``coefficient * product of factor**exponent``."""

    coefficient: Fraction
    factors: tuple[tuple[Form, int], ...]
    shape: Shape


class Sum(Struct, frozen=True):
    terms: tuple[Form, ...]
    shape: Shape


class Total(Struct, frozen=True):
    """A sum over axes; `keep` leaves them with size one."""

    body: Form
    axes: tuple[int, ...]
    keep: bool
    shape: Shape


Form: TypeAlias = "Leaf | Product | Sum | Total"


class NotBroadcast(Exception):
    """Two shapes that no rule makes one shape of."""


def broadcast(shapes: Iterable[Shape]) -> Shape:
    """The shape of an elementwise result.

    Raises:
        NotBroadcast: two sizes that are neither equal nor one.
    """
    result: list[Dim] = []
    for shape in shapes:
        wide = [ONE] * (len(shape) - len(result)) + result
        offset = len(wide) - len(shape)
        for axis, size in enumerate(shape):
            here = wide[offset + axis]
            if here == ONE:
                wide[offset + axis] = size
            elif size not in (ONE, here):
                raise NotBroadcast(f"{here} and {size}")
        result = wide
    return tuple(result)


def product(coefficient: Fraction, factors: Sequence[tuple[Form, int]]) -> Form:
    """A product with inner products dissolved and equal factors collected."""
    powers: dict[Form, int] = {}
    scale = coefficient
    for form, exponent in factors:
        if isinstance(form, Product):
            scale *= form.coefficient**exponent
            inner = [(f, e * exponent) for f, e in form.factors]
        else:
            inner = [(form, exponent)]
        for base, power in inner:
            powers[base] = powers.get(base, 0) + power
    kept = tuple((f, e) for f, e in powers.items() if e)
    if scale == 1 and len(kept) == 1 and kept[0][1] == 1:
        return kept[0][0]
    # A factor that cancelled may have been the one that gave the product its shape.
    shape = broadcast(f.shape for f in powers)
    if broadcast(f.shape for f, _ in kept) != shape:
        kept = tuple(powers.items())
    return Product(scale, kept, shape)


def scaled(form: Form, by: Form, exponent: int = 1) -> Form:
    return product(Fraction(1), ((form, 1), (by, exponent)))


def summed(terms: Sequence[Form]) -> Form:
    """A sum with inner sums dissolved."""
    flat: list[Form] = []
    for term in terms:
        flat += term.terms if isinstance(term, Sum) else (term,)
    if len(flat) == 1:
        return flat[0]
    return Sum(tuple(flat), broadcast(t.shape for t in flat))


def negated(form: Form) -> Form:
    if isinstance(form, Sum):
        return Sum(tuple(negated(t) for t in form.terms), form.shape)
    return product(Fraction(-1), ((form, 1),))


def factors_of(form: Form) -> tuple[Fraction, tuple[tuple[Form, int], ...]]:
    """Any form as coefficient and factors."""
    if isinstance(form, Product):
        return form.coefficient, form.factors
    return Fraction(1), ((form, 1),)


def read_names(form: Form) -> frozenset[str]:
    """Every name that a form reads."""
    match form:
        case Leaf(tree=tree):
            return names(tree)
        case Product(factors=factors):
            return frozenset().union(*(read_names(f) for f, _ in factors))
        case Sum(terms=terms):
            return frozenset().union(*(read_names(t) for t in terms))
        case Total(body=body):
            return read_names(body)


def named(name: str, shape: Shape) -> Leaf:
    return Leaf(Name(name), shape)
