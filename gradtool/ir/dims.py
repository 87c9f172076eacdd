"""Symbolic sizes: integer polynomials in named dimensions, with floor division.

A `Dim` is kept in normal form, so that two sizes are equal exactly when their
normal forms are: ``2*H == H + H`` and ``N*C == C*N``.  Named integer constants
(``stride``) are symbols like any other; they get their value when a size is
evaluated.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeAlias

from gradtool.ir import syntax
from gradtool.ir.lazy import lazy
from gradtool.records import Own, Struct

Atom: TypeAlias = "str | FloorDiv"
Monomial: TypeAlias = tuple[tuple[Atom, int], ...]


class DimError(ValueError):
    """A size expression that is not an integer polynomial; `offset` is its column (0-based)."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


class FloorDiv(Struct, frozen=True, dict=True):
    """``numerator // denominator``, kept whole because it is not a polynomial."""

    numerator: Dim
    denominator: Dim

    def __str__(self) -> str:
        return f"{_wrapped(self.numerator)}//{_wrapped(self.denominator)}"

    def __hash__(self) -> int:
        return self._hash

    @lazy
    def _hash(self) -> int:
        return hash(("//", self.numerator, self.denominator))


def _atom_key(atom: Atom) -> tuple[int, str]:
    return (0, atom) if isinstance(atom, str) else (1, str(atom))


class Dim(Own, frozen=True, eq=False, dict=True):
    """An integer polynomial: ``terms`` maps monomials to integer coefficients, sorted."""

    terms: tuple[tuple[Monomial, int], ...]

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Dim) and self.terms == other.terms)

    def __hash__(self) -> int:
        return self._hash

    @lazy
    def _hash(self) -> int:
        return hash(self.terms)

    # -- making ---------------------------------------------------------------------------

    @staticmethod
    def of(value: Dim | int | str) -> Dim:
        """The size of an integer or of one named dimension."""
        if isinstance(value, Dim):
            return value
        return _plain(value)

    @staticmethod
    def parse(text: str) -> Dim:
        """Read ``(H + 2*pad - K)//stride + 1``.

        Raises:
            DimError: with the column of the part that is no integer polynomial.
        """
        try:
            tree = syntax.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            column = getattr(error, "offset", None) or 1
            raise DimError(f"'{text}' is not a size expression", column - 1) from None
        return dim_of_ast(tree.body)

    # -- arithmetic -----------------------------------------------------------------------

    def __add__(self, other: Dim | int) -> Dim:
        right = Dim.of(other)
        if not right.terms:
            return self
        return _added(self, right) if self.terms else right

    def __neg__(self) -> Dim:
        return self._negative

    @lazy
    def _negative(self) -> Dim:
        return Dim(tuple((monomial, -coefficient) for monomial, coefficient in self.terms))

    def __sub__(self, other: Dim | int) -> Dim:
        return self + (-Dim.of(other))

    def __radd__(self, other: int) -> Dim:
        return self + other

    def __rsub__(self, other: int) -> Dim:
        return Dim.of(other) - self

    def __mul__(self, other: Dim | int) -> Dim:
        right = Dim.of(other)
        if right.terms == ONE.terms:
            return self
        return right if self.terms == ONE.terms else _multiplied(self, right)

    def __rmul__(self, other: int) -> Dim:
        return self * other

    def __pow__(self, exponent: int) -> Dim:
        result = ONE
        for _ in range(exponent):
            result = result * self
        return result

    def __floordiv__(self, other: Dim | int) -> Dim:
        divisor = Dim.of(other)
        if divisor == ZERO:
            raise DimError("division by zero in a size")
        exact = self.divided_by(divisor)
        if exact is not None:
            return exact
        mine, theirs = self.as_int, divisor.as_int
        if mine is not None and theirs is not None:
            return Dim.of(mine // theirs)
        if theirs is not None and theirs > 0:
            # (2*K + 1)//2 is K: every other entry of 2*K.
            rest = dict(self.terms).get((), 0) % theirs
            even = (self - rest).divided_by(divisor)
            if even is not None:
                return even
        return Dim(((((FloorDiv(self, divisor), 1),), 1),))

    def divided_by(self, other: Dim) -> Dim | None:
        """The exact quotient, None when the other polynomial is no factor of this one."""
        if self == other and other != ZERO:
            return ONE
        if len(other.terms) > 1:
            return self._divided(other)
        if not other.terms:
            return None
        ((divisor, by),) = other.terms
        quotient: dict[Monomial, int] = {}
        for monomial, coefficient in self.terms:
            powers = dict(monomial)
            for atom, power in divisor:
                powers[atom] = powers.get(atom, 0) - power
            if coefficient % by or any(power < 0 for power in powers.values()):
                return None
            key = tuple((atom, power) for atom, power in powers.items() if power)
            quotient[tuple(sorted(key, key=lambda item: _atom_key(item[0])))] = coefficient // by
        return _from_dict(quotient)

    def _divided(self, other: Dim) -> Dim | None:
        """Long division: the terms are in a graded order, the leading one first."""
        lead = Dim(other.terms[:1])
        quotient, rest = ZERO, self
        while rest.terms:
            part = Dim(rest.terms[:1]).divided_by(lead)
            if part is None:
                return None
            quotient, rest = quotient + part, rest - part * other
        return quotient

    # -- asking ---------------------------------------------------------------------------

    @lazy
    def as_int(self) -> int | None:
        """The value when no symbol occurs."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and self.terms[0][0] == ():
            return self.terms[0][1]
        return None

    @property
    def as_symbol(self) -> str | None:
        """The name when the size is one bare dimension."""
        if len(self.terms) != 1 or self.terms[0][1] != 1 or len(self.terms[0][0]) != 1:
            return None
        ((atom, power),) = self.terms[0][0]
        return atom if power == 1 and isinstance(atom, str) else None

    @lazy
    def symbols(self) -> frozenset[str]:
        found: set[str] = set()
        for monomial, _ in self.terms:
            for atom, _ in monomial:
                if isinstance(atom, str):
                    found.add(atom)
                else:
                    found |= atom.numerator.symbols | atom.denominator.symbols
        return frozenset(found)

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        """The integer at given sizes.

        Raises:
            KeyError: a symbol has no size.
            DimError: a floor division by zero.
        """
        total = 0
        for monomial, coefficient in self.terms:
            product = coefficient
            for atom, power in monomial:
                product *= _atom_value(atom, sizes) ** power
            total += product
        return total

    def leaves_remainder(self, sizes: Mapping[str, int]) -> bool:
        """Whether a division in it is not even: ``(H - K)//stride + 1`` for windows that do not
        reach the end."""
        divisions = [a for monomial, _ in self.terms for a, _ in monomial if not isinstance(a, str)]
        return any(
            d.numerator.evaluate(sizes) % d.denominator.evaluate(sizes)
            or d.numerator.leaves_remainder(sizes)
            for d in divisions
        )

    def substitute(self, values: Mapping[str, Dim]) -> Dim:
        """Replace symbols by sizes."""
        if self.symbols.isdisjoint(values):
            return self
        total = ZERO
        for monomial, coefficient in self.terms:
            product = Dim.of(coefficient)
            for atom, power in monomial:
                if isinstance(atom, str):
                    base = values.get(atom, Dim.of(atom))
                else:
                    base = atom.numerator.substitute(values) // atom.denominator.substitute(values)
                product = product * base**power
            total = total + product
        return total

    def __str__(self) -> str:
        return self._text

    @lazy
    def _text(self) -> str:
        if not self.terms:
            return "0"
        pieces: list[str] = []
        # Positive terms first, so that a size never begins with a minus without need.
        for monomial, coefficient in sorted(self.terms, key=lambda term: term[1] < 0):
            text = _monomial_text(monomial, abs(coefficient))
            if not pieces and coefficient == -1 and _is_quotient(monomial):
                text = f"({text})"  # -a//b is (-a)//b
            if pieces:
                pieces.append((" - " if coefficient < 0 else " + ") + text)
            else:
                pieces.append(("-" if coefficient < 0 else "") + text)
        return "".join(pieces)


def _monomial_text(monomial: Monomial, coefficient: int) -> str:
    factors = [] if coefficient == 1 and monomial else [str(coefficient)]
    for atom, power in monomial:
        if isinstance(atom, FloorDiv) and (coefficient != 1 or len(monomial) > 1 or power > 1):
            factors.append(f"({atom})" + (f"**{power}" if power > 1 else ""))
        else:
            factors.append(str(atom) + (f"**{power}" if power > 1 else ""))
    return "*".join(factors)


def _is_quotient(monomial: Monomial) -> bool:
    return len(monomial) == 1 and isinstance(monomial[0][0], FloorDiv) and monomial[0][1] == 1


def _wrapped(dim: Dim) -> str:
    text = str(dim)
    return text if dim.as_symbol or (dim.as_int or -1) >= 0 else f"({text})"


def _atom_value(atom: Atom, sizes: Mapping[str, int]) -> int:
    if isinstance(atom, str):
        return int(sizes[atom])
    denominator = atom.denominator.evaluate(sizes)
    if denominator == 0:
        raise DimError(f"{atom} divides by zero")
    return atom.numerator.evaluate(sizes) // denominator


# Sizes are few and combined all the time: every sum and product is computed once.
@lru_cache(maxsize=4096)
def _plain(value: int | str) -> Dim:
    if isinstance(value, str):
        return Dim(((((value, 1),), 1),))
    return Dim((((), int(value)),)) if value else Dim(())


@lru_cache(maxsize=16384)
def _added(left: Dim, right: Dim) -> Dim:
    collected = dict(left.terms)
    for monomial, coefficient in right.terms:
        collected[monomial] = collected.get(monomial, 0) + coefficient
    return _from_dict(collected)


@lru_cache(maxsize=16384)
def _multiplied(left: Dim, right: Dim) -> Dim:
    collected: dict[Monomial, int] = {}
    for one, a in left.terms:
        for other, b in right.terms:
            powers = dict(one)
            for atom, power in other:
                powers[atom] = powers.get(atom, 0) + power
            key = tuple(sorted(powers.items(), key=lambda item: _atom_key(item[0])))
            collected[key] = collected.get(key, 0) + a * b
    return _from_dict(collected)


def _from_dict(collected: Mapping[Monomial, int]) -> Dim:
    terms = [item for item in collected.items() if item[1]]
    if len(terms) > 1:
        terms.sort(key=_term_key)
    return Dim(tuple(terms))


def _term_key(item: tuple[Monomial, int]) -> tuple[int, list[tuple[tuple[int, str], int]]]:
    monomial = item[0]
    return -sum(p for _, p in monomial), [(_atom_key(a), -p) for a, p in monomial]


def dim_of_ast(node: ast.expr) -> Dim:
    """A size from an expression tree; see `Dim.parse`."""
    match node:
        case ast.Constant(value=bool()):
            raise DimError("a size must be an integer, found a truth value", node.col_offset)
        case ast.Constant(value=int() as value):
            return Dim.of(value)
        case ast.Name(id=name):
            return Dim.of(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -dim_of_ast(operand)
        case ast.BinOp(left=left, op=operator, right=right):
            a, b = dim_of_ast(left), dim_of_ast(right)
            match operator:
                case ast.Add():
                    return a + b
                case ast.Sub():
                    return a - b
                case ast.Mult():
                    return a * b
                case ast.FloorDiv():
                    return a // b
                case ast.Pow() if b.as_int is not None and 0 <= b.as_int <= 8:
                    return a ** int(b.as_int)
                case ast.Div():
                    exact = a.divided_by(b)
                    if exact is not None:
                        return exact
                    raise DimError(
                        "a size must be an integer: write // for division", node.col_offset
                    )
    raise DimError("a size is made of integers, dimension names, + - * // and **", node.col_offset)


def total(dims: Iterable[Dim]) -> Dim:
    """The number of elements of a shape."""
    result = ONE
    for dim in dims:
        result = result * dim
    return result


def sizes_text(sizes: Mapping[str, int]) -> str:
    """Sizes as a report has them: ``N=2, D=3``."""
    return ", ".join(f"{name}={size}" for name, size in sizes.items())


def shape_text(shape: Iterable[Dim]) -> str:
    """A shape as NumPy prints it: ``(N, D)``, ``(C,)``, ``()``."""
    parts = [str(dim) for dim in shape]
    return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"


ZERO = Dim(())
ONE = Dim((((), 1),))
