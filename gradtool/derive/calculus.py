"""Scalar derivatives, found by sympy.

A product of accesses becomes a sympy expression over plain symbols, sympy differentiates it, and
the result comes back as a normal form.  Comparisons and 0/1 factors are constants: their
derivative is zero wherever it exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

from gradtool.ir.errors import UnsupportedError
from gradtool.ir.poly import (
    Access,
    Atom,
    Compare,
    Function,
    Group,
    Iverson,
    Number,
    Poly,
    Position,
    Size,
    Symbol,
    Term,
    atom,
    number,
)
from gradtool.ir.walk import accesses, labels
from gradtool.ops.scalar import FUNCTIONS


class _Sympy:
    """sympy, imported when it is first used: whoever has a derivation already needs none of it."""

    def __getattr__(self, name: str) -> Any:
        import sympy as loaded

        value = getattr(loaded, name)
        setattr(self, name, value)
        return value


sympy: Any = _Sympy()


def partial(term: Term, access: Access) -> Poly:
    """d(term)/d(access), the term's bound indices taken as free."""
    table = _Table()
    expression = table.term(term)
    if access not in table.symbols:
        return number(0)  # it stands in a comparison only, or the product does not mention it
    symbol = table.symbols[access]
    derivative = _differentiated(expression, symbol)
    return table.back(derivative)


def cancelled(body: Poly) -> Poly | None:
    """A sum without reductions as one cancelled fraction, expanded; None when it has sums."""
    # Expressions compare by their texts, which name indices and tensors without their sizes: those
    # of another layer, or of another variable, must not come back.
    sizes = frozenset((index.name, index.size) for index in body.indices)
    shapes = frozenset((a.tensor.name, a.tensor.shape, a.tensor.kind) for a in accesses(body))
    named = frozenset((x.tensor.name, x.tensor.shape, x.tensor.labels) for x in labels(body))
    return _cancelled(body, (sizes, shapes, named))


_LARGE = 200  # terms times kinds of factors


@lru_cache(maxsize=1024)
def _cancelled(body: Poly, _sizes: tuple[frozenset[Any], ...]) -> Poly | None:
    if any(term.bound for term in body.terms):
        return None
    if _is_cancelled(body):
        return body
    atoms = {base for term in body.terms for base, _ in term.factors}
    if not all(entry.inside for entry in accesses(body)):
        return None  # an entry is zero outside its tensor, and what cancels says so no more
    if len(body.terms) * len(atoms) > _LARGE:
        return None  # it takes minutes, and nobody would read the result
    table = _Table()
    # x**(g - 1) as x**g / x, so that powers with a name in the exponent meet.
    powers: dict[Any, Any] = {}

    def split(power: Any) -> Any:
        shift, exponent = power.exp.as_coeff_Add()
        symbol = powers.setdefault(power.base**exponent, sympy.Dummy())
        return symbol * power.base**shift

    whole = table.poly(body).replace(lambda e: e.is_Pow and not e.exp.is_number, split)
    flat = sympy.expand(sympy.cancel(sympy.together(whole)))
    if powers:
        flat = _undivided(flat, {symbol: power.base for power, symbol in powers.items()})
        # Back together again: x**g / x has no value at zero.  A power may hold others.
        again = {symbol: power for power, symbol in powers.items()}
        while not flat.free_symbols.isdisjoint(again):
            flat = flat.xreplace(again)
        flat = sympy.powsimp(flat, combine="exp")
    return table.back(flat)


def _undivided(flat: Any, bases: Mapping[Any, Any]) -> Any:
    """A sum without denominators that have the base of a power above them as a factor.

    ``x**g / (N*x)``, which expanded may be ``(1 - p)**g / (N - N*p)``, is a power of x over N:
    as a fraction it has no value where x is zero.
    """

    def undivided(term: Any) -> Any:
        above, below = term.as_numer_denom()
        for symbol in above.free_symbols & bases.keys():
            base = bases[symbol]
            while base.free_symbols and base.free_symbols <= below.free_symbols:
                rest = sympy.cancel(below / base)
                if not rest.is_polynomial(*rest.free_symbols):
                    break
                above, below = above * base**-1, rest
        return above / below

    return sympy.Add(*map(undivided, sympy.Add.make_args(flat)))


def _is_cancelled(body: Poly) -> bool:
    """A polynomial of plain entries, or one fraction of them, is in that form already."""
    return all(
        isinstance(base, Access | Symbol | Size | Iverson | Compare | Position)
        and exponent.denominator == 1
        and (len(body.terms) < 2 or exponent > 0)
        for term in body.terms
        for base, exponent in term.factors
    )


_Monomials = tuple[tuple[Fraction, tuple[int, ...]], ...]


@lru_cache(maxsize=2048)
def factored_polynomial(
    terms: _Monomials,
) -> tuple[Fraction, tuple[tuple[_Monomials, int], ...]] | None:
    """A polynomial (coefficients and exponents) as a product of at least two sums, or None."""
    count = len(terms[0][1])
    symbols = sympy.symbols(f"u0:{count}")
    collected: dict[tuple[int, ...], Fraction] = {}
    for c, exponents in terms:  # some may be alike
        collected[exponents] = collected.get(exponents, Fraction(0)) + c
    poly = sympy.Poly.from_dict({e: _rational(c) for e, c in collected.items() if c}, *symbols)
    scale, factors = sympy.factor_list(poly)
    sums = sum(1 for f, _ in factors if len(f.terms()) > 1)
    if sums < 2 and not any(power > 1 and len(f.terms()) > 1 for f, power in factors):
        return None
    found = []
    for factor, power in factors:
        # Leading coefficients move in front, so that a sum reads 1 + … where it can.
        low = factor.terms()[-1][1]
        scale *= low**power
        found.append(
            (
                tuple(
                    (Fraction(int((c / low).p), int((c / low).q)), exponents)
                    for exponents, c in factor.terms()
                ),
                int(power),
            )
        )
    return Fraction(int(scale.p), int(scale.q)), tuple(found)


@lru_cache(maxsize=4096)
def _differentiated(expression: Any, symbol: Any) -> Any:
    derivative = sympy.diff(expression, symbol)
    if any(not power.exp.is_Rational for power in derivative.atoms(sympy.Pow)):
        # sympy has p*x**p/x, which is 0/0 at zero; p*x**(p - 1) is what a textbook has.
        derivative = sympy.powsimp(derivative, combine="exp")
    # The derivative of a jump is zero wherever it exists.
    return derivative.replace(sympy.DiracDelta, lambda *_: sympy.S.Zero)


class _Table:
    """Atoms against the sympy symbols that stand for them."""

    def __init__(self) -> None:
        self.symbols: dict[Atom, Any] = {}
        self.atoms: dict[Any, Atom] = {}

    def term(self, term: Term) -> Any:
        result = _rational(term.coefficient)
        for base, exponent in term.factors:
            result = result * self.atom(base) ** _rational(exponent)
        return result

    def poly(self, body: Poly) -> Any:
        if any(term.bound for term in body.terms):
            raise UnsupportedError("a sum inside a function", "give it a name of its own")
        return sympy.Add(*(self.term(term) for term in body.terms))

    def atom(self, base: Atom) -> Any:
        match base:
            case Group(poly=poly):
                return self.poly(poly)
            case Number(value=value):
                return _rational(value)
            case Function(name="pow", args=(x, y)):
                return self.poly(x) ** self.poly(y)
            case Function(name=name, args=(x,)):
                return _function(name)(self.poly(x))
            case Symbol(name="pi"):
                return sympy.pi
        if base not in self.symbols:
            # Numbered by first use, so that equal shapes of terms share a cached derivative.
            kind = {Access: "a", Symbol: "s", Size: "s"}.get(type(base), "c")
            positive = True if kind == "s" and isinstance(base, Size) else None
            symbol = sympy.Symbol(f"{kind}{len(self.symbols)}", real=True, positive=positive)
            self.symbols[base] = symbol
            self.atoms[symbol] = base
        return self.symbols[base]

    def back(self, expression: Any) -> Poly:
        match expression:
            case sympy.Rational():
                return number(Fraction(int(expression.p), int(expression.q)))
            case sympy.Symbol():
                return atom(self.atoms[expression])
            case sympy.Add():
                result = number(0)
                for part in expression.args:
                    result = result + self.back(part)
                return result
            case sympy.Mul():
                result = number(1)
                for part in expression.args:
                    result = result * self.back(part)
                return result
            case sympy.Pow():
                base, exponent = expression.as_base_exp()
                if isinstance(exponent, sympy.Rational):
                    power = Fraction(int(exponent.p), int(exponent.q))
                    inner = self.back(base)
                    if power.denominator == 1 and 2 <= power <= 4:
                        # A small power of a sum is multiplied out, like every product.
                        result = inner
                        for _ in range(int(power) - 1):
                            result = result * inner
                        return result
                    return inner.power(power)
                return atom(Function("pow", (self.back(base), self.back(exponent))))
            case sympy.exp():
                return atom(Function("exp", (self.back(expression.args[0]),)))
        if expression == sympy.pi:
            return atom(Symbol("pi"))
        if expression == sympy.E:
            return atom(Function("exp", (number(1),)))
        name = _names().get(type(expression)) or _custom_name(expression)
        if name is None:
            raise UnsupportedError(f"the derivative needs {type(expression).__name__}")
        return atom(Function(name, tuple(self.back(a) for a in expression.args)))


@cache
def _names() -> dict[Any, str]:
    return {
        sympy.log: "log",
        sympy.sin: "sin",
        sympy.cos: "cos",
        sympy.tan: "tan",
        sympy.atan: "arctan",
        sympy.sinh: "sinh",
        sympy.cosh: "cosh",
        sympy.tanh: "tanh",
        sympy.erf: "erf",
        sympy.Abs: "abs",
        sympy.sign: "sign",
    }


@cache
def _by_name() -> dict[str, Any]:
    return {name: cls for cls, name in _names().items()} | {"exp": sympy.exp}


_CUSTOM: dict[str, Any] = {}


def _rational(value: Fraction) -> Any:
    return sympy.Rational(value.numerator, value.denominator)


def _function(name: str) -> Any:
    return _by_name().get(name) or _custom(name)


def _custom_name(expression: Any) -> str | None:
    return next((n for n, cls in _CUSTOM.items() if isinstance(expression, cls)), None)


def _custom(name: str) -> Any:
    """A sympy function for a word that sympy does not know; its derivative is found below."""
    if name not in _CUSTOM:

        def fdiff(self: Any, argindex: int = 1) -> Any:
            x = sympy.Symbol("x", real=True)
            return derivative_of(name).subs(x, self.args[0])

        def real(self: Any) -> bool:
            return True

        _CUSTOM[name] = type(
            name, (sympy.Function,), {"fdiff": fdiff, "_eval_is_extended_real": real}
        )
    return _CUSTOM[name]


@lru_cache(maxsize=256)
def derivative_of(name: str) -> Any:
    """The derivative of a scalar function in x, written as shortly as sympy can.

    The definition is differentiated; then it is tried to write the result with the function's own
    value, with sigmoid(x) and with softplus(x), since a reader knows ``a*(1 - a)`` better than
    ``exp(-x)/(1 + exp(-x))**2``.  Every candidate equals the plain derivative identically.
    """
    x = sympy.Symbol("x", real=True)
    plain = sympy.diff(FUNCTIONS[name].definition(sympy, x), x)
    size = sympy.Symbol("_size", positive=True)
    # |x| has the derivative sign(x) = |x|/x: cancels in softsign.
    candidates = [plain]
    if plain.has(sympy.sinh, sympy.cosh):
        candidates.append(sympy.trigsimp(plain))
    if plain.has(sympy.sign):
        rational = plain.subs(sympy.sign(x), sympy.Abs(x) / x).subs(sympy.Abs(x), size)
        flat = sympy.cancel(sympy.together(rational))
        if not flat.has(x):
            candidates.append(sympy.factor(flat).subs(size, sympy.Abs(x)))
    if plain.has(sympy.exp):
        gate = sympy.Symbol("_gate", positive=True)
        soft = plain.subs(sympy.log(1 + sympy.exp(x)), _custom("softplus")(x))
        soft = sympy.expand_power_exp(soft).replace(
            lambda e: isinstance(e, sympy.exp) and (e.args[0] / x).is_Integer,
            lambda e: (gate / (1 - gate)) ** (e.args[0] / x),
        )
        short = sympy.factor(sympy.cancel(sympy.together(soft)))
        if not short.has(sympy.exp):
            written = short.subs(gate, _custom("sigmoid")(x))
            candidates.append(written)
    return min(candidates, key=_length)


def _length(expression: Any) -> int:
    """Operations, with every known function as one."""
    return int(sympy.count_ops(expression)) + 2 * len(expression.atoms(sympy.exp))
