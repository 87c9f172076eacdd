"""Shapes and sums in the words of the terminal output."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from gradtool.ir.dims import Dim

_SHORT = 30  # characters of sizes that a note spells out
_WORD = 8  # characters of a size that is no name
_COUNTS = ("no", "one", "two", "three", "four", "five", "six")


def shape_words(shape: Sequence[Dim]) -> str:
    """``(N, D)``, with products of sizes as products: ``(N*(H + 1 - R), C)``."""
    inner = ", ".join(map(dim_words, shape))
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


@lru_cache(maxsize=1024)
def dim_words(dim: Dim) -> str:
    """A size; a long polynomial as a product where it is one."""
    if len(dim.terms) < 4 or any(not isinstance(a, str) for m, _ in dim.terms for a, _ in m):
        return str(dim)
    import sympy

    symbols = {name: sympy.Symbol(name) for name in dim.symbols}
    whole = sympy.Add(*(c * sympy.Mul(*(symbols[str(a)] ** e for a, e in m)) for m, c in dim.terms))
    scale, factors = sympy.factor_list(whole)
    if len(factors) < 2:
        return str(dim)
    parts = []
    for factor, power in sorted(factors, key=lambda f: (len(f[0].args), str(f[0]))):
        minus = [t.could_extract_minus_sign() for t in sympy.Add.make_args(factor)]
        if 2 * sum(minus) > len(minus):
            factor, scale = -factor, scale * (-1) ** power
        inner = _positive_first(factor)
        parts.append(inner if factor.is_Symbol else f"({inner})")
        if power > 1:
            parts[-1] += f"**{power}"
    return "*".join(parts if scale == 1 else [str(scale), *parts])


def _positive_first(factor: object) -> str:
    """``H + 1 - R``."""
    import sympy

    terms = sympy.Add.make_args(factor)
    ordered = sorted(terms, key=lambda t: (t.could_extract_minus_sign(), t.is_number, str(t)))
    text = ""
    for term in ordered:
        minus = bool(term.could_extract_minus_sign())
        sign = (" - " if minus else " + ") if text else ("-" if minus else "")
        text += sign + str(-term if minus else term)
    return text


def _is_short(dim: Dim) -> bool:
    return dim.as_symbol is not None or len(str(dim)) <= _WORD


def summed_words(shape: Sequence[Dim], places: Sequence[int]) -> tuple[str, bool]:
    """What is summed (``N``, ``N and the last two axes``), and whether these are sizes only."""
    plain = ", ".join(str(shape[k]) for k in places)
    sizes = [shape[k] for k in places]
    if len(places) == len(shape) > 1 and len(set(sizes)) < len(sizes):
        return "all axes", False
    if len(set(sizes)) == len(sizes) and len(plain) <= _SHORT and all(map(_is_short, sizes)):
        return plain, True
    named = [k for k in places if shape[k].as_symbol is not None and sizes.count(shape[k]) == 1]
    rest = [k for k in places if k not in named]
    words = [str(shape[k]) for k in named]
    if rest == list(range(len(shape) - len(rest), len(shape))) and len(rest) < len(_COUNTS):
        count = f"{_COUNTS[len(rest)]} axes" if len(rest) > 1 else "axis"
        words.append(f"the last {count}")
    else:
        words.append(("axes " if len(rest) > 1 else "axis ") + " and ".join(map(str, rest)))
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words), False
