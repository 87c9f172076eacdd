"""Sums whose terms are one product spread out: ``dY - dY * Y**2`` is ``dY * (1 - Y**2)``.

A derivation may print either.  What is left out of the spread form is a factor, not a path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction

from gradtool.ir.graph import AnyStatement
from gradtool.ir.poly import Term
from gradtool.ir.tree import Call, Name, Number, Tree

Factors = Mapping[Tree, Fraction]
ONE = Number(Fraction(1), "1")


def extra_factor(whole: Tree, part: Tree) -> Tree | None:
    """What `whole` is multiplied by beyond `part`; None when it is no multiple of it."""
    mine, its = _factors(whole), _factors(part)
    if any(mine.get(base, 0) * power < power * power for base, power in its.items()):
        return None
    rest = {base: power - its.get(base, 0) for base, power in mine.items()}
    rest = {base: power for base, power in rest.items() if power}
    if not rest or not its:
        return None
    result: Tree | None = None
    for base, power in rest.items():
        factor: Tree = base if power == 1 else Call("pow", (base, Number(power, str(power))))
        result = factor if result is None else Call("mul", (result, factor))
    return result


def terms_of(tree: Tree) -> list[Tree]:
    """The terms of a sum, signs left out."""
    match tree:
        case Call(op="add" | "sub", args=(left, right)):
            return [*terms_of(left), *terms_of(right)]
        case Call(op="neg", args=(inner,)):
            return terms_of(inner)
    return [tree]


def _factors(tree: Tree) -> dict[Tree, Fraction]:
    found: Counter[Tree] = Counter()

    def walk(node: Tree, power: Fraction) -> None:
        match node:
            case Call(op="mul", args=(left, right)):
                walk(left, power)
                walk(right, power)
            case Call(op="div", args=(left, right)):
                walk(left, power)
                walk(right, -power)
            case Call(op="neg", args=(inner,)):
                walk(inner, power)
            case Call(op="pow", args=(base, Number(value=value))):
                walk(base, power * value)
            case Number():
                pass
            case _:
                found[node] += power  # type: ignore[assignment]

    walk(tree, Fraction(1))
    return {base: Fraction(power) for base, power in found.items()}


def is_spread(lost: Term, kept: Iterable[Term]) -> bool:
    """Whether a term is another one with more factors."""
    mine = {base.key: power for base, power in lost.factors}
    for other in kept:
        its = {base.key: power for base, power in other.factors}
        shared = all(mine.get(key, 0) * power >= power * power for key, power in its.items())
        if shared and its and mine != its and lost.bound == other.bound:
            return True
    return False


def parts(statements: Iterable[AnyStatement]) -> dict[str, tuple[str, frozenset[str]]]:
    """Of hidden sums and products of names: which of the two, and the names."""
    found = {}
    for statement in statements:
        tree = statement.tree
        if not statement.hidden or not isinstance(tree, Call) or len(tree.args) != 2:
            continue
        kind = {"add": "sum", "sub": "sum", "mul": "product", "div": "product"}.get(tree.op)
        if kind is not None:
            names = frozenset(a.id for a in tree.args if isinstance(a, Name))
            found[statement.out.name] = kind, names
    return found
