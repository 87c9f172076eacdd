"""Whether 0/1 factors say exactly: this is the entry that won the maximum of its window.

A maximum ``y[w] = max over b of x[e(w, b)]`` sends its cotangent to ``x[f]`` with
``f = e(w, b*(w))``.  In a simplified term that is an equality with the winner's number b* and
inequalities that keep the place inside the window.  Here the term is compared with them: what says
more (a mask, a flip, a sum behind the maximum) or less is no plain winner, and is written out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from gradtool.ir.dims import ONE, Dim
from gradtool.ir.graph import Statement
from gradtool.ir.index import Affine, Index, Label, nonnegative
from gradtool.ir.poly import Access, Iverson, Term

# Far below every number that occurs: what stands in the padding of a maximum.
LOWEST = Fraction(10**200)


def sends_to_winners(
    term: Term, free: Sequence[Index], label: Label, statement: Statement, source: Access
) -> bool:
    """Whether a term is a value of each window, at the entry of `source` that won in it.

    Args:
        free: the indices of the result, one for each axis of the source.
        label: the winner's number as it stands in the term.
        statement: finds the winners; its free indices are the windows, its bound ones the places.
        source: what the maximum was taken of.
    """
    here = [Affine.of(0) if index.size == ONE else Affine.of(index) for index in free]
    if [index.size for index in free] != list(source.tensor.shape):
        return False
    windows = dict(zip(statement.free, label.index, strict=True))
    solved = _solved(here, statement, source)
    if solved is None:
        return False
    places, equations = solved
    if not _one_to_one(term, free, windows, places, equations):
        return False
    equations = [e.substitute(windows) for e in equations]
    places = {index: e.substitute(windows) for index, e in places.items()}
    number = Affine.of(0)
    for index in statement.bound:
        number = number * index.size + places[index]
    limits: set[Affine] = set()
    # An entry outside an array is 0: a factor that is read there says the limits, too.
    read = {
        (entry, size)
        for base, exponent in term.factors if isinstance(base, Access) and exponent > 0
        for entry, size in zip(base.index, base.tensor.shape, strict=True)
    }  # fmt: skip
    for entry, size in [
        *((places[index], index.size) for index in statement.bound),
        *((entry, index.size) for index, entry in windows.items()),
    ]:
        if not entry.within(size) and (entry, size) not in read:
            limits |= {entry, Affine.of(size - 1) - entry}
    wanted = {number - Affine.of(label), *(e for e in equations if e != Affine.of(0))}
    for base, exponent in term.factors:
        if not isinstance(base, Iverson):
            continue
        if base.relation == "eq" and exponent == 1:
            side = next((v for v in (base.value, -base.value) if v in wanted), None)
            if side is None:
                return False
            wanted.remove(side)
        elif base.value in limits:
            limits.remove(base.value)
        else:
            return False
    return not wanted and all(_holds(limit) for limit in limits)


def _holds(limit: Affine) -> bool:
    bounds = limit.bounds()
    return bounds is not None and nonnegative(bounds[0])


def _solved(
    here: Sequence[Affine], statement: Statement, source: Access
) -> tuple[dict[Index, Affine], list[Affine]] | None:
    """The place in the window by the entry and the window; what else must be zero."""
    known = {*statement.free, *statement.bound}
    places: dict[Index, Affine] = {}
    equations: list[Affine] = []
    for place, entry in zip(here, source.index, strict=True):
        if any(True for _ in entry.labels()) or not entry.indices <= known:
            return None
        inside = [i for i in statement.bound if entry.coefficient(i).terms]
        if not inside:
            equations.append(place - entry)
            continue
        if len(inside) > 1 or entry.coefficient(inside[0]) != ONE or inside[0] in places:
            return None
        places[inside[0]] = place - (entry - Affine.of(inside[0]))
    for index in statement.bound:
        if index.size == ONE:
            places.setdefault(index, Affine.of(0))
        elif index not in places and (only := _only_place(statement, index)) is not None:
            places[index] = only
    if len(places) != len(statement.bound):
        return None
    return places, equations


def _only_place(statement: Statement, index: Index) -> Affine | None:
    """The place of a window that is not in the padding, along an axis of size one."""
    if not any(abs(term.coefficient) >= LOWEST for term in statement.body.terms):
        return None
    found: set[Affine] = set()
    for term in statement.body.terms:
        for base, _ in term.factors if abs(term.coefficient) < LOWEST else ():
            if isinstance(base, Iverson) and base.relation == "eq" and index in base.indices:
                slope = base.value.coefficient(index)
                rest = base.value - Affine.of(index) * slope
                if rest.as_dim is None or slope not in (ONE, -Dim.of(1)):
                    return None
                found.add(-rest if slope == ONE else rest)
    return found.pop() if len(found) == 1 else None


def _one_to_one(
    term: Term,
    free: Sequence[Index],
    windows: Mapping[Index, Affine],
    places: Mapping[Index, Affine],
    equations: Sequence[Affine],
) -> bool:
    """Whether what a term sums over are the windows of an entry, each once.

    A term may sum over windows or over places in a window, which tell each other.
    """
    back: dict[Index, Affine] = {}
    for index, entry in windows.items():
        bare = entry.as_index
        if bare is not None and bare in term.bound and bare.size == index.size:
            back[bare] = Affine.of(index)
    for index, entry in places.items():
        bare = entry.substitute(windows).as_index
        if bare is not None and bare in term.bound and bare.size == index.size:
            back.setdefault(bare, entry)
    if back.keys() != set(term.bound):
        return False
    for index, entry in windows.items():
        if any(True for _ in entry.labels()):
            return False
        if index.size == ONE and entry == Affine.of(0):
            continue
        # A window that the entry itself tells, or that is summed over.
        told = any(_told(e, index, windows) == entry for e in equations)
        if not told and entry.substitute(back) != Affine.of(index):
            return False
    return True


def _told(equation: Affine, index: Index, windows: Mapping[Index, Affine]) -> Affine | None:
    """The window that an entry of the array belongs to, when an equation says it."""
    slope = equation.coefficient(index)
    if any(i != index and equation.coefficient(i).terms for i in windows):
        return None
    if slope == ONE:
        return Affine.of(index) - equation
    return equation + Affine.of(index) if slope == -Dim.of(1) else None
