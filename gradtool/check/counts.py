"""Into how many parts a size is divided: what code calls ``num_heads`` or ``groups``.

A spec writes such a size as a product, ``A*E`` for A heads of E features, and no name tells which
of the factors counts the parts; the numbers of the forward pass do.
"""

from __future__ import annotations

from gradtool.check.arguments import Names
from gradtool.check.candidate import Candidate
from gradtool.check.words import folded
from gradtool.records import replace

_PARTS = frozenset(
    front + part + back
    for front in ("", "n", "num", "numof")
    for part in ("head", "group")
    for back in ("", "s", "count")
)


def counted(candidate: Candidate, names: Names) -> list[Names]:
    """The names with every size that a parameter may mean which counts parts."""
    init = candidate.owner.method("__init__") if candidate.owner else None
    functions = [f for f in (init, candidate.forward, candidate.backward) if f]
    words = dict.fromkeys(p for f in functions for p in f.params if folded(p) in _PARTS)
    factors = _factors(names)
    if not words or not factors or any(word in names.numbers for word in words):
        return [names]
    return [
        replace(names, chosen={**names.chosen, **dict.fromkeys(words, factor)})
        for factor in factors
    ]


def _factors(names: Names) -> list[str]:
    """The sizes that a product of two is made of."""
    dims = dict.fromkeys(dim for v in names.variables for dim in v.shape)
    products = [d for d in dims if len(d.terms) == 1 and len(d.symbols) > 1]
    return [*dict.fromkeys(name for dim in products for name in sorted(dim.symbols))]
