"""Sizes to test with, drawn so that a mistake cannot hide."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping
from fractions import Fraction
from typing import Any

from gradtool.ir.dims import Dim
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import Graph, Scan, Statement
from gradtool.numeric.grid import Setting
from gradtool.spec.model import SizeRule

_FEW, _TRIALS = 60, 240
_WIDE = (12, 24, 48)  # how many sizes a window and its image are drawn from, until some fit
_SMALL = 2000
_CHEAP = 10_000  # work up to which fewer equal axes count more, where sizes are tried last
_BUDGET = 40_000  # entries of a forward evaluation that are cheap with 60 digits


Fits = Callable[[Mapping[str, int]], bool]


def size_sets(
    graph: Graph, rules: Mapping[str, SizeRule], fits: Fits | None = None
) -> tuple[dict[str, int], ...]:
    """Size sets: two with pairwise distinct sizes, one with all sizes equal, one with all 1.

    Sizes are as small as the forward pass allows (a window must fit its image), since the work
    of a check grows with their product.  Where distinct sizes leave room for one window, or for
    several only when they are large, a small set with several windows is added.  Pinned sizes
    stay as they are; what `fits` refuses is left out.

    Raises:
        UnsupportedError: no sizes satisfy the spec.
    """
    names = graph.dimensions

    def is_allowed(sizes: Mapping[str, int]) -> bool:
        return allowed(graph, sizes) and (fits is None or fits(sizes))

    free = [n for n in names if n not in rules or rules[n].exactly is None]
    pinned = {n: r.exactly for n, r in rules.items() if r.exactly is not None and n in names}
    least = {n: rules[n].minimum if n in rules else 1 for n in free}
    found: list[dict[str, int]] = []
    for seed in (0, 1):
        best = _cheapest(graph, free, least, pinned, random.Random(seed), found, is_allowed)
        if best is not None and best not in found:
            found.append(best)
    if not any(work(graph, sizes) <= _SMALL and not _thin(graph, sizes) for sizes in found):
        several = _several(graph, free, least, pinned, random.Random(0), is_allowed)
        if several is not None and several not in found:
            found.append(several)
    for value in (3, 2, 4, 5, 6, 7, 8) if len(free) < 7 else (2, 3, 4):
        square = {**{n: max(value, least[n]) for n in free}, **pinned}
        if is_allowed(square):
            found += [square] if square not in found else []
            break
    ones = {**{n: least[n] for n in free}, **pinned}
    if is_allowed(ones) and ones not in found:
        found.append(ones)
    if not found:  # a window of a dozen fits no small image
        wide = sizes_apart(graph, rules, is_allowed)
        found += [wide] if wide is not None else []
    if not found:
        raise UnsupportedError("no sizes were found that satisfy the spec", "pin some under sizes:")
    return tuple({name: sizes[name] for name in names} for sizes in found)


def _cheapest(
    graph: Graph,
    free: list[str],
    least: Mapping[str, int],
    pinned: Mapping[str, int],
    rng: random.Random,
    avoid: list[dict[str, int]],
    is_allowed: Fits,
) -> dict[str, int] | None:
    """The cheapest of many draws of pairwise distinct sizes that the forward pass allows."""
    best: tuple[int, dict[str, int]] | None = None
    for trial in range(_TRIALS):
        widened = len(free) + 2 + trial // 40
        values = rng.sample(range(2, 2 + max(widened, len(free))), len(free))
        sizes = {**{n: max(v, least[n]) for n, v in zip(free, values, strict=True)}, **pinned}
        if free and any(all(sizes[n] == old[n] for n in free) for old in avoid):
            continue
        if not is_allowed(sizes):
            continue
        # A size in common with an earlier set could fit a literal: count it as a cost.
        shared = sum(sizes[n] == old[n] for old in avoid for n in free)
        # One window or one step hides a forgotten stride or sum: such sizes count as dearer.
        cost = work(graph, sizes) * (1 + shared) * (1 + 4 * _thin(graph, sizes))
        if best is None or cost < best[0]:
            best = cost, sizes
        if best is not None and (not free or trial > _FEW):
            break
    if best is None or best[0] > _BUDGET:
        small = _small(graph, free, least, pinned, rng, is_allowed)
        if (
            small is not None
            and small not in avoid
            and (best is None or work(graph, small) < best[0])
        ):
            return small
    return best[1] if best else None


def _drawn(
    free: list[str],
    least: Mapping[str, int],
    pinned: Mapping[str, int],
    rng: random.Random,
    choices: tuple[int, ...],
) -> Iterator[dict[str, int]]:
    """Sizes that are chosen one by one, and may be equal."""
    for _ in range(_TRIALS):
        yield {**{n: max(rng.choice(choices), least[n]) for n in free}, **pinned}


def _small(
    graph: Graph,
    free: list[str],
    least: Mapping[str, int],
    pinned: Mapping[str, int],
    rng: random.Random,
    is_allowed: Fits,
) -> dict[str, int] | None:
    """For layers with many dimensions: sizes 2 to 4, distinct within each array where possible."""
    return min(
        filter(is_allowed, _drawn(free, least, pinned, rng, (2, 2, 3, 4))),
        key=lambda sizes: work(graph, sizes) * (2 + _alike(graph, sizes)),
        default=None,
    )


def _alike(graph: Graph, sizes: Mapping[str, int]) -> int:
    """How many axes of the inputs are as long as another one of the same array."""
    whole = {**sizes, **graph.integers}
    lengths = [[dim.evaluate(whole) for dim in tensor.shape] for tensor in graph.inputs]
    return sum(len(axes) - len(set(axes)) for axes in lengths)


def _several(
    graph: Graph,
    free: list[str],
    least: Mapping[str, int],
    pinned: Mapping[str, int],
    rng: random.Random,
    is_allowed: Fits,
) -> dict[str, int] | None:
    """Small sizes with which every computed size is at least 3; few are the same in an array."""

    def rank(sizes: Mapping[str, int]) -> tuple[int, int, int]:
        cost = work(graph, sizes)
        return max(cost, _SMALL), _alike(graph, sizes), cost

    drawn = filter(is_allowed, _drawn(free, least, pinned, rng, (2, 3, 4, 5, 6)))
    return min((sizes for sizes in drawn if not _thin(graph, sizes)), key=rank, default=None)


def sizes_apart(graph: Graph, rules: Mapping[str, SizeRule], fits: Fits) -> dict[str, int] | None:
    """Small sizes with several windows along every axis, none that is free equal to a constant.

    With a stride of two, code that takes the number of windows for the stride is right where
    there are two; a window of the stride's size hides which of them was taken, and windows that
    do not overlap hide `=` for `+=`.  None where no size is computed from others.
    """
    windows = {name for dim in graph.once(_computed_dims) for name in dim.symbols}
    drawn = (_drawn_apart(graph, rules, fits, windows, wide) for wide in _WIDE if windows)
    return next((sizes for sizes in drawn if sizes is not None), None)


def _drawn_apart(
    graph: Graph, rules: Mapping[str, SizeRule], fits: Fits, windows: Collection[str], wide: int
) -> dict[str, int] | None:
    """The best of some draws: windows overlap, it is cheap, few axes of an array are equal."""
    constants = {value for value in graph.integers.values() if value > 1}
    choices: dict[str, list[int]] = {}
    for name in graph.dimensions:
        rule = rules.get(name)
        least = max(2, rule.minimum if rule else 1)
        values = [value for value in range(least, least + wide) if value not in constants]
        choices[name] = values if name in windows else values[:2]
        if rule and rule.exactly is not None:
            choices[name] = [rule.exactly]
    rng, found = random.Random(0), list[tuple[int, int, int, int, dict[str, int]]]()
    for _ in range(_TRIALS):
        sizes = {name: rng.choice(values) for name, values in choices.items()}
        if not allowed(graph, sizes) or not fits(sizes):
            continue
        if _thin(graph, sizes) or not constants.isdisjoint(computed(graph, sizes)):
            continue
        cost, gaps = work(graph, sizes), _gaps(graph, sizes)
        found.append((gaps, max(cost, _CHEAP), _alike(graph, sizes), cost, sizes))
    return min(found, key=lambda one: one[:4])[-1] if found else None


def _gaps(graph: Graph, sizes: Mapping[str, int]) -> int:
    """Along how many axes it is not sure that windows overlap.

    The number of windows grows by one with every stride of the image, and is one where the image
    is a window, without its padding: that is the difference between the image and all strides.
    """
    whole = {**sizes, **graph.integers}
    gaps = 0
    for dim in graph.once(_computed_dims):
        count = dim.evaluate(whole)
        for name in dim.symbols:
            if name not in sizes:
                continue
            grown = (
                by
                for by in range(1, sizes[name] + 1)
                if dim.evaluate({**whole, name: sizes[name] + by}) > count
            )
            stride = next(grown, 0)  # 0 of the size of a window, with which the number falls
            gaps += 0 < sizes[name] - stride * (count - 1) <= stride
    return gaps


def _thin(graph: Graph, sizes: Mapping[str, int]) -> int:
    """How many computed sizes are smaller than 3."""
    return sum(size < 3 for size in computed(graph, sizes))


def computed(graph: Graph, sizes: Mapping[str, int]) -> list[int]:
    """The sizes that are computed from others, such as the number of windows."""
    whole = {**sizes, **graph.integers}
    return [dim.evaluate(whole) for dim in graph.once(_computed_dims)]


def _computed_dims(graph: Graph) -> frozenset[Dim]:
    every = (dim for tensor in graph.tensors.values() for dim in tensor.shape)
    return frozenset(dim for dim in every if dim.as_symbol is None and dim.as_int is None)


def work(graph: Graph, sizes: Mapping[str, int]) -> int:
    """Entries of all grids: what one evaluation computes."""
    whole = {**sizes, **graph.integers}
    total = 0
    for loop in {s.loop for s in graph.statements if isinstance(s, Scan)}:
        total += loop.size.evaluate(whole) * work(loop.body, whole)
    for statement in graph.statements:
        if not isinstance(statement, Statement):
            continue
        outer = 1
        for index in (*statement.free, *statement.bound):
            outer *= index.size.evaluate(whole)
        for term in statement.body.terms:
            inner = outer
            for index in term.bound:
                inner *= index.size.evaluate(whole)
            total += inner
    return total


def allowed(graph: Graph, sizes: Mapping[str, int]) -> bool:
    whole = {**sizes, **graph.integers}
    try:
        if any(dim.evaluate(whole) < 0 for dim in graph.assumptions):
            return False
        loops = {s.loop for s in graph.statements if isinstance(s, Scan)}
        if not all(allowed(loop.body, whole) for loop in loops):
            return False
        best = [s for s in graph.statements if isinstance(s, Statement) and s.reduce != "sum"]
        if any(index.size.evaluate(whole) < 1 for s in best for index in s.bound):
            return False  # there is no largest of nothing
        return all(
            dim.evaluate(whole) >= 1 for tensor in graph.tensors.values() for dim in tensor.shape
        )
    except (ZeroDivisionError, ValueError):
        return False


def setting_for(graph: Graph, sizes: Mapping[str, int], arithmetic: Any) -> Setting:
    numbers = {n: Fraction(v) for n, v in graph.constants.items() if not isinstance(v, int)}
    return Setting({**sizes, **graph.integers}, numbers, arithmetic)
