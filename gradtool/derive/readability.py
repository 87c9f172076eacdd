"""What an expression costs a reader: operators, names, and what must be written for a name."""

from __future__ import annotations

from functools import cached_property

from gradtool.derive.factor import nested
from gradtool.derive.units import Choice, Contraction, Product, Sum, Unit
from gradtool.ir.graph import Graph
from gradtool.ir.poly import (
    Access,
    Atom,
    Compare,
    Function,
    Group,
    Iverson,
    Number,
    Poly,
    Size,
    Symbol,
    Term,
)
from gradtool.ir.tree import Name, Tree, children
from gradtool.records import Struct, field

_KNOWN_PATTERN = 2.5  # everybody reads a * (1 - a) as one thing


class Readability(Struct, frozen=True, dict=True):
    """The costs of expressions over the values of a graph."""

    graph: Graph
    costs: dict[str, float] = field(default_factory=dict)

    @cached_property
    def _hidden(self) -> frozenset[str]:
        return frozenset(s.out.name for s in self.graph.statements if s.hidden)

    def hidden(self, name: str) -> bool:
        return name in self._hidden

    @cached_property
    def _weights(self) -> dict[str, float]:
        return {}

    def weight_of(self, name: str) -> float:
        """1 for a value with a name; an inner value counts as what must be written for it."""
        if name not in self._hidden:
            return 1.0
        if name in self.graph.hints:
            return 1.2  # a used spec named it, so it has a name already
        known = self._weights
        if name not in known:
            statement = self.graph.definitions[name]
            known[name] = min(12.0, 0.5 + self._tree_weight(statement.tree, name))
        return known[name]

    def _tree_weight(self, tree: Tree, own: str) -> float:
        if isinstance(tree, Name):
            return 1.0 if tree.id == own else self.weight_of(tree.id)
        inner = sum(self._tree_weight(child, own) for child in children(tree))
        return 0.5 + inner

    def weight(self, base: Atom) -> float:
        match base:
            case Access(tensor=tensor, index=index):
                plain = sum(1 for e in index if e.as_index is None and e.as_dim is None)
                return self.weight_of(tensor.name) + 0.5 * plain
            case Symbol() | Number():
                return 0.6
            case Size():
                return 1.2
            case Function(args=args):
                return 1.0 + sum(self.cost(a) for a in args)
            case Compare(left=left, right=right):
                return 1.0 + self.cost(left) + self.cost(right)
            case Group(poly=poly):
                return 0.5 + self.cost(poly)
            case Iverson():
                return 1.2
        return 1.0

    def term_cost(self, term: Term) -> float:
        cost = 0.4 + 0.7 * len(term.bound)
        for base, exponent in term.factors:
            cost += self.weight(base) + (0.0 if exponent in (1, -1) else 0.3)
        if abs(term.coefficient) != 1:
            cost += 0.3
        return cost

    def cost(self, body: Poly) -> float:
        """What an expression costs a reader when common factors are pulled out."""
        if body.key not in self.costs:
            self.costs[body.key] = self._sum_cost(nested(body)) if body.terms else 0.0
        return self.costs[body.key]

    def _sum_cost(self, total: Sum) -> float:
        return sum(self._product_cost(p) for p in total.products) + 0.6 * (len(total.products) - 1)

    def _product_cost(self, factors: Product) -> float:
        cost = 0.4 if abs(factors.coefficient) == 1 else 0.7
        for unit, exponent in factors.factors:
            cost += self._unit_cost(unit) + (0.0 if exponent in (1, -1) else 0.3)
        return cost - _KNOWN_PATTERN * _is_slope(factors)

    def _unit_cost(self, unit: Unit) -> float:
        match unit:
            case Sum():
                return self._sum_cost(unit)
            case Choice(condition=condition, yes=yes, no=no):
                return self.weight(condition) + self._sum_cost(yes) + self._sum_cost(no)
            case Contraction(term=term):
                return self.term_cost(term)
            case _:
                return self.weight(unit)


def _is_slope(factors: Product) -> bool:
    """Whether a product holds ``a * (1 - a)``, the slope of a sigmoid."""
    units = {unit for unit, exponent in factors.factors if exponent == 1}
    return any(
        isinstance(unit, Sum)
        and len(unit.products) == 2
        and not unit.products[0].factors
        and unit.products[1].coefficient == -unit.products[0].coefficient
        and len(unit.products[1].factors) == 1
        and unit.products[1].factors[0][0] in units
        and unit.products[1].factors[0][1] == 1
        for unit in units
    )
