"""Sums and products written as array expressions that walk through memory as rarely as possible.

Small factors are multiplied with each other before the large one, a number that scales a large
array is moved to the small factors beside it, and a sum starts from the term that makes an array
anyway, so that the rest can be added to it in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias
from typing import Literal as Choice

from gradtool.emit.array_cost import cost_as_written
from gradtool.emit.array_forms import (
    Form,
    Leaf,
    NotBroadcast,
    Product,
    Shape,
    Sum,
    Total,
    broadcast,
    factors_of,
    negated,
    product,
    scaled,
)
from gradtool.emit.array_reduce import reduced
from gradtool.emit.array_sizes import volume
from gradtool.emit.numpy_names import ModuleNames
from gradtool.ir.tree import Call, Name, Tree, call, integer
from gradtool.ops.errors import OpError
from gradtool.ops.shape import dim_tree
from gradtool.records import Struct

if TYPE_CHECKING:
    from gradtool.emit.array_read import Reader

# Another order must cost less than this much of the order that was printed.
WORTH = 0.97

Operator: TypeAlias = Choice["add", "sub", "mul", "div"]


class Made(Struct, frozen=True):
    """An expression, its shape, and how many entries are computed for it."""

    tree: Tree
    shape: Shape
    cost: float


class Chain(Struct, frozen=True):
    """``start op part op part …``, evaluated from left to right.

    Attributes:
        fresh: whether `start` is a new array already.
        first: the place of `start` in the expression as it was written, for reading.
    """

    start: Made
    rest: tuple[tuple[Operator, Made], ...]
    fresh: bool

    @property
    def cost(self) -> float:
        return self.start.cost + sum(part.cost for _, part in self.rest)


class Writer:
    """Writes the forms of one module."""

    def __init__(self, module: ModuleNames) -> None:
        self.module = module

    # -- expressions ------------------------------------------------------------------------

    def improved(self, tree: Tree, reader: Reader) -> Tree:
        """The expression in a cheaper order; as it is where none is known."""
        try:
            made = self.made(self.settled(reader.read(tree)))
            return made.tree if made.cost < WORTH * cost_as_written(self.module, tree) else tree
        except (OpError, NotBroadcast, KeyError):
            return tree

    def made(self, form: Form) -> Made:
        match form:
            case Leaf(tree=tree, shape=shape):
                return Made(tree, shape, 0.0)
            case Total():
                return self._total(form)
            case _:
                return self._folded(form)

    def _total(self, form: Total) -> Made:
        tree = reduced(lambda part: self.made(part).tree, form)
        inner = factors_of(form.body)[1]
        cost = sum(self.cost(f) for f, _ in inner) + volume(self.module, form.body.shape)
        extra = max(0, len([f for f, _ in inner if f.shape]) - 2)
        return Made(tree, form.shape, cost + extra * volume(self.module, form.body.shape))

    def cost(self, form: Form) -> float:
        """How many entries are computed for a form."""
        match form:
            case Leaf():
                return 0.0
            case Total():
                return self._total(form).cost
            case _:
                chain = self.chain(form)
                large = volume(self.module, form.shape)
                inner = sum(volume(self.module, form.shape) for _ in chain.rest)
                return chain.cost + (inner if large else 0.0)

    def _folded(self, form: Form) -> Made:
        """One expression, in the order in which it was written where that costs the same."""
        if isinstance(form, Sum):
            return Made(self._sum_tree(form), form.shape, self.cost(form))
        assert isinstance(form, Product)
        return Made(self._product_tree(form), form.shape, self.cost(form))

    def _sum_tree(self, form: Sum) -> Tree:
        signed = [_sign(t) for t in form.terms]
        if signed[0][0] < 0 and any(s > 0 for s, _ in signed):
            place = next(k for k, (s, _) in enumerate(signed) if s > 0)
            signed.insert(0, signed.pop(place))
        sign, first = signed[0]
        tree = self.made(first).tree if sign > 0 else call("neg", self.made(first).tree)
        for sign, term in signed[1:]:
            tree = call("add" if sign > 0 else "sub", tree, self.made(term).tree)
        return tree

    def _product_tree(self, form: Product) -> Tree:
        small, large, under = self._parts(form)
        first = not large or _position(form, small) < _position(form, large)
        parts: list[Tree] = [self._power(f, e) for f, e in large]
        group = self._group(small)
        below = [self._power(f, -e) for f, e in under]
        if group is not None:
            over, divisor = group
            if over is None:
                below.insert(0, divisor) if divisor is not None else None
            else:
                shown = over if divisor is None else call("div", over, divisor)
                parts.insert(0 if first else len(parts), shown)
        tree = parts[0] if parts else integer(1)
        for part in parts[1:]:
            tree = call("mul", tree, part)
        for part in below:
            tree = call("div", tree, part)
        return tree

    # -- chains -----------------------------------------------------------------------------

    def chain(self, form: Form) -> Chain:
        """The operations of the outermost arithmetic, in the best order."""
        match form:
            case Sum(terms=terms):
                return self._sum_chain(terms)
            case Product():
                return self._product_chain(form)
            case Leaf(fresh=fresh):
                return Chain(self.made(form), (), fresh)
            case _:
                return Chain(self.made(form), (), True)

    def _sum_chain(self, terms: Sequence[Form]) -> Chain:
        shape = broadcast(t.shape for t in terms)
        signed = [_sign(t) for t in terms]

        def worth(place: int) -> tuple[int, int, int]:
            sign, term = signed[place]
            whole = term.shape == shape
            chain = self.chain(term)
            makes = whole and (chain.fresh or len(chain.rest) > 0)
            flips = sign < 0 and not (makes and self._has_small(term))
            return (-int(whole and not flips), -int(makes and not flips), int(flips))

        place = min(range(len(terms)), key=worth)
        sign, first = signed[place]
        start = self.chain(first if sign > 0 else negated(first))
        rest: list[tuple[Operator, Made]] = list(start.rest)
        for number, (sign, term) in enumerate(signed):
            if number != place:
                rest.append(("add" if sign > 0 else "sub", self.made(term)))
        return Chain(start.start, tuple(rest), start.fresh)

    def _has_small(self, term: Form) -> bool:
        return isinstance(term, Product) and any(f.shape != term.shape and f.shape
                                                 for f, _ in term.factors)  # fmt: skip

    def _product_chain(self, form: Product) -> Chain:
        small, large, under = self._parts(form)
        base = next((k for k, (f, e) in enumerate(large) if e == 1 and isinstance(f, Sum)), None)
        if base is None:
            base = next((k for k, (f, e) in enumerate(large) if e == 1 and _fresh(f)), 0)
        rest: list[tuple[Operator, Made]] = []
        if large:
            factor, exponent = large[base]
            if exponent == 1:
                start = self.chain(factor)
            else:
                start = Chain(Made(self._power(factor, exponent), factor.shape, 0.0), (), True)
        else:
            over, below = self._group(small) or (None, None)
            tree = over if over is not None else integer(1)
            if below is not None:
                tree = call("div", tree, below)
            if not under:
                return Chain(Made(tree, form.shape, 0.0), (), True)
            shape = broadcast(f.shape for f, _ in small)
            start, small = Chain(Made(tree, shape, 0.0), (), False), []
        rest += start.rest
        for number, (factor, exponent) in enumerate(large):
            if number != base:
                rest.append(("mul", Made(self._power(factor, exponent), factor.shape, 0.0)))
        group = self._group(small)
        if group is not None:
            shape = broadcast(f.shape for f, _ in small)
            over_tree, divisor = group
            if over_tree is None:
                assert divisor is not None
                rest.append(("div", Made(divisor, shape, 0.0)))
            else:
                shown = over_tree if divisor is None else call("div", over_tree, divisor)
                rest.append(("mul", Made(shown, shape, 0.0)))
        for factor, exponent in under:
            rest.append(("div", Made(self._power(factor, -exponent), factor.shape, 0.0)))
        return Chain(start.start, tuple(rest), start.fresh)

    def _power(self, form: Form, exponent: int) -> Tree:
        tree = self.made(form).tree
        return tree if exponent == 1 else call("pow", tree, integer(exponent))

    def _parts(
        self, form: Product
    ) -> tuple[list[tuple[Form, int]], list[tuple[Form, int]], list[tuple[Form, int]]]:
        """Small factors, large factors of positive exponent, large ones to divide by."""
        form = self._means(form)
        most = max((volume(self.module, f.shape) for f, _ in form.factors), default=1)
        large = [(f, e) for f, e in form.factors if volume(self.module, f.shape) == most
                 and f.shape]  # fmt: skip
        small: list[tuple[Form, int]] = [p for p in form.factors if p not in large]
        if form.coefficient != 1:
            small.insert(0, (Product(form.coefficient, (), ()), 1))
        # A power of 0 is what is left of X / X: ones of its shape.
        over = [(f, e) for f, e in large if e >= 0]
        under = [(f, e) for f, e in large if e < 0]
        return small, over, under

    def _means(self, form: Product) -> Product:
        """Sums that are divided by their number of terms as means."""
        powers = dict(form.factors)
        found: list[tuple[Form, int]] = []
        for factor, exponent in form.factors:
            if isinstance(factor, Total) and exponent == 1:
                tree = self.made(factor).tree
                sizes = [Leaf(dim_tree(factor.body.shape[k]), ()) for k in factor.axes]
                whole = len(set(sizes)) == len(sizes) and all(powers.get(s, 0) < 0 for s in sizes)
                if whole and isinstance(tree, Call) and tree.op == "sum":
                    for size in sizes:
                        powers[size] += 1
                    mean = Call("mean", tree.args, tree.kwargs)
                    found.append((Leaf(mean, factor.shape, fresh=True), 1))
                    del powers[factor]
        if not found:
            return form
        rest = [(f, e) for f, e in powers.items() if e]
        return Product(form.coefficient, (*found, *rest), form.shape)

    def _group(self, small: Sequence[tuple[Form, int]]) -> tuple[Tree | None, Tree | None] | None:
        """The small factors as numerator and denominator, the smallest of them first."""
        if not small:
            return None
        coefficient = Fraction(1)
        over: list[tuple[Form, int]] = []
        under: list[tuple[Form, int]] = []
        for form, exponent in small:
            if isinstance(form, Product) and not form.factors:
                coefficient *= form.coefficient**exponent
            elif exponent > 0:
                over.append((form, exponent))
            else:
                under.append((form, -exponent))
        numerator = self._joined(abs(coefficient.numerator), over)
        denominator = self._joined(coefficient.denominator, under)
        if coefficient < 0:
            if numerator is None and not under and coefficient.denominator != 1:
                denominator = integer(-coefficient.denominator)  # Z**2 / -2
            else:
                numerator = call("neg", numerator if numerator is not None else integer(1))
        return numerator, denominator

    def _joined(self, number: int, factors: Sequence[tuple[Form, int]]) -> Tree | None:
        parts = [integer(number)] if number != 1 else []
        ordered = sorted(factors, key=lambda p: volume(self.module, p[0].shape))
        trees: list[Tree] = [*parts, *(self._power(f, e) for f, e in ordered)]
        if not trees:
            return None
        tree = trees[0]
        for part in trees[1:]:
            tree = call("mul", tree, part)
        return tree

    # -- numbers that scale large arrays ------------------------------------------------------

    def _never_zero(self, term: Form) -> Form:
        """The numbers in a term that can be divided by: literals and sizes.

        A constant such as a weight of 0 cannot: ``0 * (x / 0)`` is not ``x``.
        """
        coefficient, factors = factors_of(term)
        if coefficient == 0:
            return product(Fraction(1), ())
        sizes = [(f, e) for f, e in factors if self._is_size(f)]
        return product(coefficient, sizes)

    def _is_size(self, form: Form) -> bool:
        """A name alone: of ``1 - N/2`` nobody knows that it is not 0."""
        return (
            isinstance(form, Leaf)
            and isinstance(form.tree, Name)
            and form.tree.id in self.module.graph.dimensions
        )

    def settled(self, form: Form) -> Form:
        """The same value with the numbers moved to where they cost least."""
        match form:
            case Sum(terms=terms):
                return Sum(tuple(map(self.settled, terms)), form.shape)
            case Total(body=body):
                return Total(self.settled(body), form.axes, form.keep, form.shape)
            case Product(coefficient=coefficient, factors=factors):
                inner = [(self.settled(f), e) for f, e in factors]
                best = product(coefficient, inner)
                lowest = self.cost(best)
                for place, (factor, exponent) in enumerate(inner):
                    if not isinstance(factor, Sum) or exponent != 1:
                        continue
                    others = [p for k, p in enumerate(inner) if k != place]
                    for term in factor.terms:
                        number = self._never_zero(term)
                        divided = Sum(
                            tuple(scaled(t, number, -1) for t in factor.terms), factor.shape
                        )
                        tried = product(coefficient, [*others, (number, 1), (divided, 1)])
                        cost = self.cost(tried)
                        if cost < lowest:
                            best, lowest = tried, cost
                return best
        return form


def _sign(form: Form) -> tuple[int, Form]:
    if isinstance(form, Product) and form.coefficient < 0:
        return -1, negated(form)
    return 1, form


def _fresh(form: Form) -> bool:
    return isinstance(form, Total) or (isinstance(form, Leaf) and form.fresh)


def _position(form: Product, several: Sequence[tuple[Form, int]]) -> int:
    """Where the first of some factors stands."""
    places = [k for k, pair in enumerate(form.factors) if pair in several]
    return min(places, default=-1)
