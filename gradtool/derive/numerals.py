"""Numbers as people write them: short decimals, small fractions, one square root."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from gradtool.ir.poly import Atom, Number, Size, Symbol
from gradtool.ir.tree import Call, Name, Tree, call, integer
from gradtool.ir.tree import Number as Numeral
from gradtool.ops.shape import dim_tree

_LARGEST_DIVISOR = 16


def numeral(value: Fraction) -> Tree:
    """One number: an integer, an exact short decimal, or a fraction."""
    if value.denominator == 1:
        return Numeral(value, _scientific(value) or str(value.numerator))
    short = decimal(value)
    if short is not None:
        return Numeral(value, short)
    return call("div", integer(value.numerator), integer(value.denominator))


def decimal(value: Fraction) -> str | None:
    """An exact short decimal, or None."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1 or value.denominator > 10**12:
        return None
    text = _without_zeros(f"{float(value):.15g}")
    return text if Fraction(text) == value else None


def _scientific(value: Fraction) -> str | None:
    """``1e200``: a whole number too long to be written out, when that is exact."""
    if abs(value) < 10**15:
        return None
    digits = str(value.numerator).rstrip("0")
    zeros = len(str(value.numerator)) - len(digits)
    return f"{digits}e{zeros}" if zeros >= 6 else None


def _without_zeros(text: str) -> str:
    """``1e-5`` rather than ``1e-05``."""
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text


def scalar_fraction(
    coefficient: Fraction, scalars: Sequence[tuple[Atom, Fraction]]
) -> tuple[bool, list[Tree], list[Tree]]:
    """Sign, numerators and denominators of the number in front of a product."""
    top: list[Tree] = []
    bottom: list[Tree] = []
    size = abs(coefficient)
    if size.denominator > _LARGEST_DIVISOR and decimal(size) is not None:
        top.append(numeral(size))
    else:
        if size.numerator != 1:
            top.append(numeral(Fraction(size.numerator)))
        if size.denominator != 1:
            bottom.append(numeral(Fraction(size.denominator)))
    root_top: list[Tree] = []
    root_bottom: list[Tree] = []
    for base, exponent in scalars:
        tree = _scalar(base)
        whole, half = divmod(abs(exponent), 1)
        if half == Fraction(1, 2):
            (root_top if exponent > 0 else root_bottom).append(tree)
        elif half:
            (top if exponent > 0 else bottom).append(call("pow", tree, numeral(abs(exponent))))
            continue
        if whole:
            power = tree if whole == 1 else call("pow", tree, integer(int(whole)))
            (top if exponent > 0 else bottom).append(power)
    if root_top:
        inner = _joined(root_top)
        if root_bottom:
            inner = call("div", inner, _joined(root_bottom))
        top.append(call("sqrt", inner))
    elif root_bottom:
        bottom.append(call("sqrt", _joined(root_bottom)))
    return coefficient < 0, top, bottom


def _scalar(base: Atom) -> Tree:
    match base:
        case Symbol(name=name):
            return Name(name)
        case Size(dim=dim):
            return dim_tree(dim)
        case Number(value=value):
            return numeral(value)
    raise TypeError(type(base).__name__)


def _joined(trees: Sequence[Tree]) -> Tree:
    result = trees[0]
    for tree in trees[1:]:
        result = Call("mul", (result, tree))
    return result
