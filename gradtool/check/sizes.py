"""At which sizes a gradient is right, when it is so at some of them only: where two are equal, say.

Code that was tested with square images or one sample is right there and nowhere else; the sizes
of all points together show that, one of them alone does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

_FEWEST = 2  # points on either side: a rule that one point makes is chance

Sizes = Mapping[str, int]


def rule(right: Iterable[Sizes], wrong: Iterable[Sizes]) -> str | None:
    """What all the points where it is right have, and none of the others: ``H = W``.

    None where no rule, or where more than one, tells them apart.
    """
    good, bad = list(right), list(wrong)
    if len(good) < _FEWEST or len(bad) < _FEWEST:
        return None
    names = [name for name in good[0] if all(name in sizes for sizes in (*good, *bad))]
    found = [
        _text(pair)
        for pair in (*((name, None) for name in names), *combinations(names, 2))
        if all(_holds(pair, sizes) for sizes in good)
        and not any(_holds(pair, sizes) for sizes in bad)
    ]
    return found[0] if len(found) == 1 else None


def _holds(pair: tuple[str, str | None], sizes: Sizes) -> bool:
    one, other = pair
    return sizes[one] == (1 if other is None else sizes[other])


def _text(pair: tuple[str, str | None]) -> str:
    return f"{pair[0]} = {1 if pair[1] is None else pair[1]}"
