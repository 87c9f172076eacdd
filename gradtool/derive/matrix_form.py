"""Derivatives with many axes as people write them: matrices with two, index notation with more.

A matrix whose normal form has Kronecker deltas is a diagonal matrix plus the rest:
``diag(p) - outer(p, p)``.  With three axes and more, index notation says at once which entry of
what belongs to which; a chain of broadcasts does not.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from fractions import Fraction

from gradtool.derive.addends import reordered
from gradtool.derive.indexform import indexed_tree
from gradtool.derive.numerals import numeral
from gradtool.derive.raising import raised
from gradtool.ir.index import Affine, Index
from gradtool.ir.poly import Factor, Group, Iverson, Poly, Term, poly_of, product
from gradtool.ir.tree import Call, Number, Tree, call, integer, size_of
from gradtool.ops.shape import dim_tree


def raised_derivative(body: Poly, free: Sequence[Index], taken: Collection[str]) -> Tree:
    """The tree of a Jacobian or Hessian, one axis for each free index, in this order.

    No index has a name that is `taken`.
    """
    if len(free) > 2:
        return indexed_tree(_factored(body), free, taken)
    axes = [i for i in free if i.size.as_int != 1]
    inner = _gathered(body, frozenset(free))
    if len(axes) == len(free) == 2 and axes[0].size == axes[1].size:
        tree = _with_diagonal(inner, axes[0], axes[1], taken)
        if tree is not None:
            return tree
    return reordered(raised(inner, free, taken), size_of)


# -- two axes -----------------------------------------------------------------------------


def _with_diagonal(body: Poly, row: Index, column: Index, taken: Collection[str]) -> Tree | None:
    """``(diag(p) - outer(p, p)) / N``; None when there is no diagonal part."""
    if not body.terms:
        return None
    scale, shared, inner = _scaled(body)
    on_diagonal, rest = _split(inner, row, column)
    if not on_diagonal.terms:
        return None
    trees = [_diagonal(on_diagonal, row)]
    if rest.terms:
        # A number is subtracted from every entry: eye(D) - 1 / D.
        trees.append(raised(rest, (row, column) if rest.indices else ()))
    if any(_is_indexed(tree) for tree in trees):
        return indexed_tree(_factored(body), (row, column), taken)
    result = trees[0] if len(trees) == 1 else _sum(*trees)
    above = tuple((b, e) for b, e in shared if e > 0)
    below = tuple((b, -e) for b, e in shared if e < 0)
    if abs(scale.numerator) != 1 or above:
        top = raised(poly_of((product(Fraction(abs(scale.numerator)), above),)), ())
        result = call("mul", top, result)
    if scale.denominator != 1 or below:
        bottom = raised(poly_of((product(Fraction(scale.denominator), below),)), ())
        result = call("div", result, bottom)
    return call("neg", result) if scale < 0 else result


def _scaled(body: Poly) -> tuple[Fraction, tuple[Factor, ...], Poly]:
    """The numbers that all terms share, in front; the sign of a lone term too."""
    numbers = [{(b, e) for b, e in t.factors if not b.indices} for t in body.terms]
    shared = tuple(sorted(set.intersection(*numbers), key=lambda f: f[0].key))
    numerator = math.gcd(*(abs(t.coefficient.numerator) for t in body.terms))
    denominator = math.lcm(*(t.coefficient.denominator for t in body.terms))
    scale = Fraction(numerator, denominator)
    if all(t.coefficient < 0 for t in body.terms):
        scale = -scale
    inner = poly_of(
        product(t.coefficient / scale, [f for f in t.factors if f not in shared], t.bound)
        for t in body.terms
    )
    return scale, shared, inner


def _split(body: Poly, row: Index, column: Index) -> tuple[Poly, Poly]:
    """What stands under ``[row == column]``, written with `row`; and the other terms."""
    deltas = (
        Iverson("eq", Affine.of(row) - column),
        Iverson("eq", Affine.of(column) - row),
    )
    under: list[Term] = []
    others: list[Term] = []
    for term in body.terms:
        kept = tuple((b, e) for b, e in term.factors if b not in deltas)
        if len(kept) == len(term.factors):
            others.append(term)
        else:
            under.append(product(term.coefficient, kept, term.bound))
    return poly_of(under).substitute({column: Affine.of(row)}), poly_of(others)


def _diagonal(body: Poly, row: Index) -> Tree:
    """``diag(p)``, or a multiple of the identity."""
    if row in body.indices:
        entries = raised(body, (row,))
        return entries if _is_indexed(entries) else call("diag", entries)
    identity = call("eye", dim_tree(row.size))
    scale = raised(body, ())
    return identity if scale == integer(1) else call("mul", scale, identity)


def _sum(first: Tree, second: Tree) -> Tree:
    """``diag(p) - outer(p, p)``, a minus taken out of the second."""
    positive = _without_minus(second)
    if positive is not None:
        return call("sub", first, positive)
    return call("add", first, second)


def _without_minus(tree: Tree) -> Tree | None:
    """The tree with its leading minus removed; None when it has none."""
    if isinstance(tree, Call) and tree.op == "neg":
        return tree.args[0]
    if isinstance(tree, Number) and tree.value < 0:
        return numeral(-tree.value)
    if isinstance(tree, Call) and tree.op in ("mul", "div", "matmul", "outer"):
        head = _without_minus(tree.args[0])
        if head == integer(1) and tree.op == "mul":
            return tree.args[1]
        return None if head is None else Call(tree.op, (head, *tree.args[1:]), tree.kwargs)
    return None


def _is_indexed(tree: Tree) -> bool:
    return isinstance(tree, Call) and tree.op == "indexed"


# -- sums ---------------------------------------------------------------------------------


def _gathered(body: Poly, free: frozenset[Index]) -> Poly:
    """Contractions that differ only in what is summed away become one: X.T (a - a**2) X."""
    groups: dict[tuple[str, tuple[Index, ...]], list[tuple[Term, tuple[Factor, ...]]]] = {}
    result: list[Term] = []
    for term in body.terms:
        outer = tuple(f for f in term.factors if not f[0].indices.isdisjoint(free))
        inner = tuple(
            f for f in term.factors if f not in outer and not f[0].indices.isdisjoint(term.bound)
        )
        reach = frozenset[Index]().union(*(b.indices for b, _ in outer))
        if not inner or not reach >= frozenset(term.bound):
            result.append(term)
            continue
        rest = tuple(f for f in term.factors if f not in inner)
        groups.setdefault((product(Fraction(1), rest).key, term.bound), []).append((term, inner))
    for (_, bound), members in groups.items():
        first, inner = members[0]
        if len(members) == 1:
            result.append(first)
            continue
        rest = tuple(f for f in first.factors if f not in inner)
        total = poly_of(product(t.coefficient, own) for t, own in members)
        result.append(product(Fraction(1), (*rest, (Group(total), Fraction(1))), bound))
    return poly_of(result)


def _factored(body: Poly) -> Poly:
    """What all terms share in front of one sum: ``P[n, d] * (n == i) * ((d == j) - P[n, j])``."""
    if len(body.terms) < 2:
        return body
    own = [{(b, e) for b, e in t.factors if b.indices.isdisjoint(t.bound)} for t in body.terms]
    shared = set.intersection(*own)
    if not shared:
        return body
    rest = poly_of(
        product(t.coefficient, [f for f in t.factors if f not in shared], t.bound)
        for t in body.terms
    )
    if len(rest.terms) < 2 or any(t.bound for t in rest.terms):
        return body  # a sum over indices stands by itself in index notation
    front = tuple(sorted(shared, key=lambda f: f[0].key))
    return poly_of((Term(Fraction(1), (*front, (Group(rest), Fraction(1)))),))
