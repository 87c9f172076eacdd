"""Which argument is which where the spec knows no name of it: orders, the likeliest first.

First letters tell most, as `queries` for ``Q`` does, where each argument begins with one of the
spec's names; then the order of the signature.  Both are guesses: the numbers of the forward pass
show which is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, permutations

from gradtool.check.words import folded
from gradtool.records import Struct
from gradtool.spec.model import Variable

MOST_PLACED = {True: 6, False: 24}
"""Orders that are tried: by whether any layer may be meant, of which there are a hundred."""

_MOST_MOVED = 6  # arguments without names: more are not tried in other orders
_BY_ORDER = "by their order"
_BY_LETTERS = "by their first letters"
_ANOTHER = "in the order that gives the layer's numbers"


class Guess(Struct, frozen=True):
    """How arguments without a known name were placed.

    Attributes:
        parameters: those arguments.
        how: in words.
        all_tried: whether every order is tried that the shapes allow.
    """

    parameters: tuple[str, ...]
    how: str
    all_tried: bool

    @property
    def unknown(self) -> str:
        """What the names leave open, in words."""
        return f"no name tells which of {', '.join(self.parameters)} is which"


def placing(
    parameters: Sequence[str], variables: Sequence[Variable], place: int, most: int
) -> tuple[dict[str, str], Guess] | None:
    """The variable of each parameter in the order that is number `place` of at most `most`.

    None where there are fewer orders.
    """
    orders = list(islice(_orders(parameters, variables), most))
    if place >= len(orders):
        return None
    order, how = orders[place]
    alike = 1
    for n, variable in enumerate(variables):  # 1 * 2 * 3 for three of one shape
        alike *= sum(variable.shape == other.shape for other in variables[: n + 1])
    tried = sum(_moved_shapes(variables, order) == 0 for order, _ in orders)
    known = len(orders) == 1
    given = {p: v.name for p, v in zip(parameters, order, strict=True)}
    return given, Guess(tuple(parameters), how, known or tried == alike)


def _orders(
    parameters: Sequence[str], variables: Sequence[Variable]
) -> Iterator[tuple[tuple[Variable, ...], str]]:
    """Every order once, with how it was found; first letters in the spec's order leave no other."""
    plain = tuple(variables)
    lettered, sure = _by_letters(parameters, variables)
    if lettered and sure:
        yield lettered, _BY_LETTERS
    if lettered == plain and sure:
        return
    yield plain, _BY_ORDER
    if lettered and lettered != plain and not sure:
        yield lettered, _ANOTHER
    several = permutations(variables) if len(variables) <= _MOST_MOVED else ()
    for order in sorted(several, key=lambda order: _unlikeliness(variables, order)):
        if order not in (plain, lettered):
            yield order, _ANOTHER


def _by_letters(
    parameters: Sequence[str], variables: Sequence[Variable]
) -> tuple[tuple[Variable, ...], bool]:
    """The variables that parameters begin with, and whether each does; () if that is not clear.

    One parameter may get what no other begins with.
    """
    found: list[Variable | None] = []
    for parameter in parameters:
        fitting = [v for v in variables if folded(parameter).startswith(folded(v.name))]
        found.append(fitting[0] if len(fitting) == 1 else None)
    left = [v for v in variables if v not in found]
    if found.count(None) != len(left) or len(left) > 1:
        return (), False
    return tuple(v if v is not None else left[0] for v in found), not left


def _unlikeliness(variables: Sequence[Variable], order: Sequence[Variable]) -> tuple[int, int]:
    moved = sum(v != w for v, w in zip(variables, order, strict=True))
    return _moved_shapes(variables, order), moved


def _moved_shapes(variables: Sequence[Variable], order: Sequence[Variable]) -> int:
    """How many places get an array of another shape than in the order of the spec."""
    return sum(v.shape != w.shape for v, w in zip(variables, order, strict=True))
