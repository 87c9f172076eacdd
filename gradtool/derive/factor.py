"""Nested form: common factors pulled out of sums, sums over indices kept as units.

The normal form is flat.  People write ``gamma / (N * std) * (N * dY - …)``: this module finds
that nesting.  A `Contraction` is a sum over indices of a product that nothing outside shares.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import TypeAlias

from gradtool.derive.calculus import factored_polynomial
from gradtool.derive.units import Choice, Contraction, Product, Sum, Unit
from gradtool.ir.index import Index
from gradtool.ir.poly import (
    Access,
    Compare,
    Function,
    Group,
    Iverson,
    Number,
    Poly,
    Size,
    Symbol,
    Term,
    product,
)

_Flat: TypeAlias = tuple[Fraction, dict[Unit, Fraction]]
_NONE = Fraction(0)


def nested(body: Poly) -> Sum:
    """The nested form of an expression: a sum of products, which may hold sums again."""
    return Sum(tuple(_factored([_split(term) for term in body.terms])))


def _split(term: Term) -> _Flat:
    """Free factors, and one contraction for each connected group of summed factors."""
    units: dict[Unit, Fraction] = {}
    coefficient = term.coefficient
    rest = list(term.factors)
    for base, exponent in term.factors:
        if not base.indices.isdisjoint(term.bound):
            continue
        rest.remove((base, exponent))
        if isinstance(base, Group) and exponent.denominator == 1:
            inner = nested(base.poly)
            if len(inner.products) == 1:  # a denominator is factored like anything else
                (whole,) = inner.products
                coefficient *= whole.coefficient ** int(exponent)
                for unit, power in whole.factors:
                    units[unit] = units.get(unit, Fraction(0)) + power * exponent
                continue
        units[base] = units.get(base, Fraction(0)) + exponent
    while rest:
        group = [rest.pop(0)]
        while True:
            shared = {i for a, _ in group for i in a.indices if i in term.bound}
            more = [f for f in rest if not f[0].indices.isdisjoint(shared)]
            if not more:
                break
            group += more
            rest = [f for f in rest if f not in more]
        bound = tuple(i for i in term.bound if any(i in a.indices for a, _ in group))
        contraction = Contraction(product(Fraction(1), group, bound))
        sizes = _sizes_below(units, bound)
        if sizes is not None:
            units = sizes
            contraction = Contraction(contraction.term, mean=True)
        units[contraction] = units.get(contraction, Fraction(0)) + 1
    return coefficient, {u: e for u, e in units.items() if e}


def _sizes_below(
    units: dict[Unit, Fraction], bound: tuple[Index, ...], least: int = 2
) -> dict[Unit, Fraction] | None:
    """The factors without the sizes of a sum over several axes, when it is divided by them."""
    if len(bound) < least:
        return None
    left = dict(units)
    for index in bound:
        name = index.size.as_symbol
        unit = None if name is None else Symbol(name)
        if unit is None or left.get(unit, Fraction(0)) > -1:
            return None
        left[unit] += 1
    return {u: e for u, e in left.items() if e}


def _factored(terms: list[_Flat]) -> list[Product]:
    """Greedy: what all terms share first, then what most of them share."""
    if len(terms) == 1:
        return [_as_product(terms[0])]
    terms = _with_one_root(terms)
    if len(terms) < 2:
        return [_as_product(term) for term in terms]
    common = _common(terms)
    scale = _content(_without_slopes(terms))
    if common or scale != 1:
        inner = [(c / scale, _without(units, common)) for c, units in terms]
        below = _below(inner)
        if below is not None:  # (A - T) / A rather than 1 - T / A
            common[below] = common.get(below, Fraction(0)) - 1
            inner = [(c, _without(units, {below: Fraction(-1)})) for c, units in inner]
        parts = _ordered(_grouped(_choices(inner)))
        if not parts:
            return []  # what is left in the brackets cancels
        if parts[0].coefficient < 0 and all(p.coefficient < 0 for p in parts):
            parts = [Product(-p.coefficient, p.factors) for p in parts]
            scale = -scale
        if _begins_negative(parts):
            parts = _ordered(Product(-p.coefficient, p.factors) for p in parts)
            scale = -scale
        if len(parts) == 1:
            single = _with_slopes(parts[0], scale)
            if single is not parts[0]:
                scale = Fraction(1)
            merged = dict(common)
            for unit, exponent in single.factors:
                merged[unit] = merged.get(unit, Fraction(0)) + exponent
            return [_as_product((scale * single.coefficient, merged))]
        return [_as_product((scale, {**common, Sum(tuple(parts)): Fraction(1)}))]
    return _ordered(_grouped(_choices(terms)))


def _with_one_root(terms: list[_Flat]) -> list[_Flat]:
    """Powers of a number that differ by whole ones as one power: sqrt(2) and 3 * sqrt(2) rather
    than sqrt(2) and 6 / sqrt(2), of which no factor is common.
    """
    first = terms[0][1] if terms else {}  # what is left in brackets may cancel
    roots = {u for u in first if isinstance(u, Number) and all(u in t[1] for t in terms)}
    for root in sorted(roots, key=lambda u: u.key):
        highest = max(units[root] for _, units in terms)
        if all((highest - units[root]).denominator == 1 for _, units in terms):
            terms = _collected(
                (c * root.value ** int(units[root] - highest), {**units, root: highest})
                for c, units in terms
            )
    return terms


def _collected(terms: Iterable[_Flat]) -> list[_Flat]:
    """Terms of which no two are alike; none where all of them cancel."""
    found: dict[frozenset[tuple[Unit, Fraction]], _Flat] = {}
    for coefficient, units in terms:
        key = frozenset(units.items())
        known = found[key][0] if key in found else _NONE
        found[key] = known + coefficient, units
    return [term for term in found.values() if term[0]]


def _below(terms: list[_Flat]) -> Unit | None:
    """The denominator in a number less a fraction: no fraction within a fraction."""
    if len(terms) != 2:
        return None
    plain, other = sorted(terms, key=lambda t: bool(t[1]))
    under = [unit for unit, exponent in other[1].items() if exponent < 0]
    if plain[1] or len(under) != 1 or other[1][under[0]] != -1 or _is_scalar(under[0]):
        return None
    return under[0]


def _choices(terms: list[_Flat]) -> list[_Flat]:
    """Terms under a condition and terms under its opposite make one choice."""
    conditions = [u for _, units in terms for u in units if isinstance(u, Compare)]
    for condition in sorted(set(conditions), key=lambda c: (c.relation not in (">", "=="), c.key)):
        opposite = condition.negated()
        yes = [(c, _dropped(units, condition)) for c, units in terms if condition in units]
        no = [(c, _dropped(units, opposite)) for c, units in terms if opposite in units]
        if not yes or not no:
            continue
        rest = [t for t in terms if condition not in t[1] and opposite not in t[1]]
        if _alike(yes) == _alike(no):  # where(X > Z, 1, 1)
            return _choices([(c, dict(u)) for u, c in _alike([*yes, *rest]).items() if c])
        common = _common([*yes, *no]) if rest else {}
        yes, no = ([(c, _without(units, common)) for c, units in side] for side in (yes, no))
        whole = _choice(condition, *map(_decimals, (_factored(yes), _factored(no))))
        units = {u: common.get(u, _NONE) + whole[1].get(u, _NONE) for u in (*common, *whole[1])}
        return _choices([(whole[0], units), *rest])
    return terms


def _decimals(side: list[Product]) -> list[Product]:
    """One side of a choice, a number as one unit."""
    return [_decimal(p.coefficient) for p in side] if all(not p.factors for p in side) else side


def _without_slopes(terms: list[_Flat]) -> list[Fraction]:
    """The coefficients, without those of a choice that only make fractions of them.

    ``where(x > 0, 1, 0.2) * w + z`` is no fifth of ``where(x > 0, 5, 1) * w + 5 * z``.
    """
    conditions = {u for _, units in terms for u in units if isinstance(u, Compare)}
    chosen = {c for c in conditions if c.negated() in conditions}
    plain = [c for c, units in terms if chosen.isdisjoint(units)]
    if not plain:
        return [c for c, _ in terms]
    whole = math.lcm(*(c.denominator for c in plain))
    return [c for c, units in terms if chosen.isdisjoint(units) or whole % c.denominator == 0]


def _alike(terms: Iterable[_Flat]) -> dict[frozenset[tuple[Unit, Fraction]], Fraction]:
    """The coefficient of every product of units."""
    found: dict[frozenset[tuple[Unit, Fraction]], Fraction] = {}
    for coefficient, units in terms:
        key = frozenset(units.items())
        found[key] = found.get(key, Fraction(0)) + coefficient
    return found


def _length(products: list[Product]) -> int:
    return sum(1 + len(p.factors) for p in products)


def _choice(condition: Compare, yes: list[Product], no: list[Product]) -> _Flat:
    """``where(condition, yes, no)``, a sum that both have pulled out."""
    for whole, other in ((yes, no), (no, yes)):
        shared = Sum(tuple(whole))
        if len(whole) > 1 and len(other) == 1 and (shared, Fraction(1)) in other[0].factors:
            left = tuple(f for f in other[0].factors if f[0] != shared)
            one = Sum((Product(Fraction(1), ()),))
            rest = Sum((Product(other[0].coefficient, left),))
            sides = (one, rest) if whole is yes else (rest, one)
            return Fraction(1), {Choice(condition, *sides): Fraction(1), shared: Fraction(1)}
    if _length(no) < _length(yes):  # the simple case first
        condition, yes, no = condition.negated(), no, yes
    return Fraction(1), {Choice(condition, Sum(tuple(yes)), Sum(tuple(no))): Fraction(1)}


def _with_slopes(single: Product, scale: Fraction) -> Product:
    """A choice of two numbers with the scale in both: ``where(x > 0, 1, 0.2)``, as people write it.

    Numbers that are alike but for their sign keep it outside.
    """
    for place, (unit, exponent) in enumerate(single.factors):
        if not isinstance(unit, Choice) or exponent != 1:
            continue
        by = scale * single.coefficient
        numbers = [p.coefficient for side in (unit.yes, unit.no) for p in side.products
                   if not p.factors and len(side.products) == 1]  # fmt: skip
        if by.denominator == 1 or len(numbers) != 2 or len({*map(abs, numbers)}) != 2:
            continue
        sides = (Sum((_decimal(by * n),)) for n in numbers)
        chosen = Choice(unit.condition, *sides)
        factors = (*single.factors[:place], (chosen, exponent), *single.factors[place + 1 :])
        return Product(Fraction(1), factors)
    return single


def _decimal(value: Fraction) -> Product:
    """A number as one unit: 0.2 and not 1 / 5."""
    if value.denominator == 1:
        return Product(value, ())
    return Product(Fraction(1), ((Number(value), Fraction(1)),))


def _dropped(units: dict[Unit, Fraction], unit: Unit) -> dict[Unit, Fraction]:
    return {u: e for u, e in units.items() if u != unit}


def _begins_negative(parts: list[Product]) -> bool:
    """``a - 1`` is written ``-(1 - a)``: people know 1 - a."""
    if len(parts) != 2:
        return False
    plain, other = sorted(parts, key=lambda p: bool(p.factors))
    return not plain.factors and plain.coefficient < 0 < other.coefficient


def _common(terms: list[_Flat]) -> dict[Unit, Fraction]:
    """The greatest factor of all terms; denominators made of sizes are cleared too."""
    shared: dict[Unit, Fraction] = {}
    sizes: dict[Unit, Fraction] = {}
    every = {unit for _, units in terms for unit in units}
    for unit in sorted(every, key=lambda u: u.key):
        exponents = [units.get(unit, Fraction(0)) for _, units in terms]
        if isinstance(unit, Iverson | Compare):
            if all(exponents):
                shared[unit] = Fraction(1)
            continue
        low, high = min(exponents), max(exponents)
        if _is_guarded(unit, terms):
            continue
        if low > 0:
            shared[unit] = low
        elif high < 0:
            shared[unit] = low if _is_scalar(unit) else high
        elif low < 0 and _is_size(unit) and sum(e == low for e in exponents) >= 2:
            sizes[unit] = low
    for unit, low in sizes.items():
        # N * dY - … over N, but dmu / N + dxhat / std: no fraction above a fraction bar.
        lacking = [units for _, units in terms if units.get(unit, Fraction(0)) > low]
        if not any(_divided(units, shared) for units in lacking):
            shared[unit] = low
    return shared


def _is_guarded(unit: Unit, terms: list[_Flat]) -> bool:
    """Whether a factor need be finite only where conditions of single terms hold.

    ``(a > 0) / x + (b > 0) / x`` is zero where x is zero and neither holds; no common factor is.
    And of ``(x > 0) * sqrt(x) + x`` the root is none.
    """
    having = [units for _, units in terms if unit in units]
    common = frozenset.intersection(*(_conditions(units) for units in having))
    # Terms in which it is finite anyway, as x is beside 1 / x, do not say where it is.
    own = [_conditions(units) - common for units in having if _is_singular(unit, units[unit])]
    if not own or not all(own):
        return False
    single = {next(iter(found)) for found in own if len(found) == 1}
    return not any(isinstance(c, Compare) and c.negated() in single for c in single)


def _is_singular(unit: Unit, exponent: Fraction) -> bool:
    """Whether a factor need not be finite."""
    if _is_scalar(unit):
        return False
    named = isinstance(unit, Function) and unit.name in ("log", "pow", "log1p", "log2", "log10")
    return named or exponent < 0 or exponent.denominator != 1


def _conditions(units: Iterable[Unit]) -> frozenset[Unit]:
    return frozenset(filter(_is_condition, units))


def _is_condition(unit: Unit) -> bool:
    return not isinstance(unit, Contraction | Sum | Choice) and unit.is_condition


def _divided(units: dict[Unit, Fraction], shared: dict[Unit, Fraction]) -> bool:
    """Whether a term has a denominator of its own."""
    return any(
        exponent < min(shared.get(unit, Fraction(0)), Fraction(0))
        for unit, exponent in units.items()
        if not _is_scalar(unit)
    )


def _is_size(unit: Unit) -> bool:
    """A size or a constant of the spec: worth a common denominator."""
    return isinstance(unit, Size) or (isinstance(unit, Symbol) and unit.name != "pi")


def _is_scalar(unit: Unit) -> bool:
    return isinstance(unit, Symbol | Size | Number)


def _content(coefficients: list[Fraction]) -> Fraction:
    """The greatest common divisor of the coefficients."""
    numerator = math.gcd(*(abs(c.numerator) for c in coefficients))
    denominator = math.lcm(*(c.denominator for c in coefficients))
    if denominator > 1000:
        return Fraction(1)
    return Fraction(numerator, denominator)


def _without(units: dict[Unit, Fraction], common: dict[Unit, Fraction]) -> dict[Unit, Fraction]:
    left: dict[Unit, Fraction] = {}
    for unit in {**units, **common}:
        if isinstance(unit, Iverson | Compare) and unit in common:
            continue
        exponent = units.get(unit, Fraction(0)) - common.get(unit, Fraction(0))
        if exponent:
            left[unit] = exponent
    return left


def _grouped(terms: list[_Flat]) -> list[Product]:
    """Terms that share an array factor are written as factor times sum."""
    if len(terms) < 3:
        return [_as_product(t) for t in terms]
    if 4 <= len(terms) <= 12:
        split = _as_powers(terms)
        if split is not None:
            return [split]
    halves = Counter(c for c, _ in terms if c.denominator != 1)
    half, count = max(halves.items(), key=lambda item: item[1], default=(Fraction(1), 0))
    if 2 <= count < len(terms) and all(
        not units or _plain(units) for c, units in terms if c == half
    ):
        inside = Sum(tuple(_ordered(_as_product((Fraction(1), u)) for c, u in terms if c == half)))
        rest = [t for t in terms if t[0] != half]
        return [_as_product((half, {inside: Fraction(1)})), *_factored(rest)]
    counts = Counter(
        unit for _, units in terms for unit, e in units.items() if e > 0 and not _is_scalar(unit)
    )
    for unit in [unit for unit in counts if _is_guarded(unit, terms)]:
        del counts[unit]
    best = max(counts.items(), key=lambda item: (item[1], item[0].key), default=None)
    if best is None or best[1] < 2 or best[1] == len(terms):
        return [_as_product(t) for t in terms]
    unit = best[0]
    having = [t for t in terms if t[1].get(unit, Fraction(0)) > 0]
    others = [t for t in terms if not t[1].get(unit, Fraction(0)) > 0]
    if any(us == {unit: 1} for _, us in having) and len({c > 0 for c, _ in having}) == 1:
        return [_as_product(t) for t in terms]  # p + c * p is no longer than p * (1 + c)
    return [*_factored(having), *(_grouped(others) if others else [])]


def _plain(units: dict[Unit, Fraction]) -> bool:
    """One array to the power one."""
    return list(units.values()) == [Fraction(1)]


def _as_powers(terms: list[_Flat]) -> Product | None:
    """A polynomial that is a product of sums: ``(1 - t**2) * (1 + z**2)``."""
    units = sorted({u for _, us in terms for u in us}, key=lambda u: u.key)
    if len(units) > 6 or any(e.denominator != 1 or e < 0 for _, us in terms for e in us.values()):
        return None
    parts = factored_polynomial(
        tuple((c, tuple(int(us.get(u, 0)) for u in units)) for c, us in terms)
    )
    if parts is None:
        return None
    scale, factors = parts[0], _with_squares(parts[1])
    found: dict[Unit, Fraction] = {}
    for polynomial, power in factors:
        flats: list[_Flat] = [
            (c, {u: Fraction(e) for u, e in zip(units, exponents, strict=True) if e})
            for c, exponents in polynomial
        ]
        if all(c < 0 for c, _ in flats[:1]):
            flats = [(-c, us) for c, us in flats]
            scale = scale * (-1) ** power
        products = _ordered(_as_product(f) for f in flats)
        if _begins_negative(products):
            products = _ordered(Product(-p.coefficient, p.factors) for p in products)
            scale = scale * (-1) ** power
        if len(products) == 1:
            for unit, exponent in products[0].factors:
                found[unit] = found.get(unit, Fraction(0)) + exponent * power
            scale *= products[0].coefficient ** power
        else:
            found[Sum(tuple(products))] = Fraction(power)
    return _as_product((scale, found))


_Polynomial: TypeAlias = "tuple[tuple[Fraction, tuple[int, ...]], ...]"


def _with_squares(
    factors: tuple[tuple[_Polynomial, int], ...],
) -> list[tuple[_Polynomial, int]]:
    """``(1 + t) * (1 - t)`` is ``1 - t**2``."""
    left = list(factors)
    for a, b in itertools.combinations(factors, 2):
        (first, power), (second, other) = a, b
        if power != 1 or other != 1 or len(first) != 2 or len(second) != 2:
            continue
        one, two = dict((e, c) for c, e in first), dict((e, c) for c, e in second)
        if one.keys() != two.keys():
            continue
        x, y = one
        sums = (one[x] * two[y] + one[y] * two[x], one[x] * two[x], one[y] * two[y])
        if sums[0] == 0:
            squares = tuple((c, tuple(2 * n for n in e)) for c, e in ((sums[1], x), (sums[2], y)))
            left = [f for f in left if f not in (a, b)]
            return _with_squares((*left, (squares, 1)))
    return left


def _as_product(term: _Flat) -> Product:
    coefficient, units = term
    units = _with_means(units)
    if coefficient < 0:
        turned = next((u for u, e in units.items() if e == 1 and _turns(u)), None)
        if isinstance(turned, Sum):  # -(a - b) is b - a
            flipped = Sum(
                tuple(_ordered(Product(-p.coefficient, p.factors) for p in turned.products))
            )
            coefficient = -coefficient
            units = {(flipped if u is turned else u): e for u, e in units.items()}
    whole = frozenset[Index]().union(*(u.indices for u in units))
    sums = " ".join(u.key for u in units if isinstance(u, Sum))
    ordered = sorted(units.items(), key=lambda f: _unit_order(f[0], whole, sums))
    return Product(coefficient, tuple(ordered))


def _turns(unit: Unit) -> bool:
    """A difference that reads as well the other way round; 1 - z does not."""
    if not isinstance(unit, Sum):
        return False
    if len(unit.products) < 3 and not all(p.factors for p in unit.products):
        return False
    return any(p.coefficient < 0 for p in unit.products)


def _with_means(units: dict[Unit, Fraction]) -> dict[Unit, Fraction]:
    """A sum over an axis that is divided by its size is a mean."""
    for unit, exponent in units.items():
        if not isinstance(unit, Contraction) or unit.mean or exponent != 1:
            continue
        every = {base.indices for base, _ in unit.term.factors}
        left = _sizes_below(units, unit.term.bound, least=1)
        if len(every) == 1 and left is not None:
            mean = Contraction(unit.term, mean=True)
            return _with_means({(mean if u == unit else u): e for u, e in left.items()})
    return units


def _unit_order(unit: Unit, whole: frozenset[Index], sums: str) -> tuple[float, str]:
    """As people write it: sizes, what comes from above, arrays, masks, and sums last."""
    if _is_scalar(unit):
        return (0, unit.key)
    if isinstance(unit, Sum):
        return (5, unit.key)
    if isinstance(unit, Contraction):
        return (1 if unit.indices == whole else 3, unit.key)
    if isinstance(unit, Compare):  # a lower bound before an upper one
        return (4.5 if unit.left.constant is not None else 4, unit.key)
    if isinstance(unit, Iverson | Choice):
        return (4, unit.key)
    if unit.key.startswith("d"):
        return (1, unit.key)
    if isinstance(unit, Function) or unit.key.startswith("_"):
        return (2.2, unit.key)  # exp(z), whether or not the forward pass wrote it
    # a * (1 - a) belongs together
    return (2.5 if unit.key in sums else 2, unit.key)


def _ordered(products: Iterable[Product]) -> list[Product]:
    """Positive and simple products first; what comes from above before ``lam * W``."""

    def key(p: Product) -> tuple[bool, bool, bool, int, str]:
        sums = sum(isinstance(u, Contraction | Sum) for u, _ in p.factors)
        above = any(_comes_from_above(u) for u, _ in p.factors)
        return (p.coefficient < 0, not above, bool(sums), len(p.factors), p.key)

    return sorted(products, key=key)


def _comes_from_above(unit: Unit) -> bool:
    """Whether a factor mentions a cotangent."""
    match unit:
        case Access(tensor=tensor):
            return tensor.name.startswith("d")
        case Contraction(term=term):
            return any(_comes_from_above(base) for base, _ in term.factors)
        case Sum(products=products):
            return any(_comes_from_above(u) for p in products for u, _ in p.factors)
        case Choice(yes=yes, no=no):
            return _comes_from_above(yes) or _comes_from_above(no)
    return False
