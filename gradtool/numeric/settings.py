"""Where a layer is checked: sizes and constants, each setting with what it is there to find.

Code that has a size written into it, or that is right for a batch of one only, is wrong at some
of these: pairwise distinct sizes twice, equal sizes, each axis of size one, all sizes six times
larger, each axis a thousand times larger, a stride below and above the spec's.  A setting is
chosen when it is cheap: the work of a check grows with the product of its sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from math import prod
from typing import TYPE_CHECKING

from gradtool.ir.errors import UnsupportedError
from gradtool.records import Struct, field, replace

if TYPE_CHECKING:
    from gradtool.ir.graph import Graph
    from gradtool.spec.model import SizeRule

_LARGER = 6
_LARGER_WORK = 40_000  # scalar operations: a loop in plain Python does a million in a second
_LONG = (1000, 200)
# Where work grows with a square or a cube of an axis: a little more than the blocks of 64, 32 and
# 16 that code may be cut into, so that the last block is another one.
_LONGISH = (100, 70, 36, 20)
_LONG_WORK = 120_000
_MOST_ALONE = 8  # axes that are looked at one at a time
_OTHER_REAL = 0.7  # a constant in (0, 1) stays there, one of 1 becomes another, as 0 does


class Setting(Struct, frozen=True):
    """Sizes to check at, and why.

    Attributes:
        sizes: every dimension.
        varies: what this setting is for, in words: "distinct sizes", "N is 1".
        work: scalar operations of one evaluation, roughly.
        constants: those that differ from the spec's; of use only to code that is given them.
        uneven: a stride leaves a remainder here: the last windows do not reach the end.
        beyond: the constants are none that the spec's stand for, such as no padding where there
            is one: code that is wrong here only is told so, and passes.
    """

    sizes: Mapping[str, int]
    varies: str
    work: int
    constants: Mapping[str, int | float] = field(default_factory=dict)
    uneven: bool = False
    beyond: bool = False


def settings(graph: Graph, rules: Mapping[str, SizeRule]) -> tuple[Setting, ...]:
    """Every setting of a layer, the small ones with pairwise distinct sizes first.

    Raises:
        UnsupportedError: no sizes satisfy the spec.
    """
    found = list(small_settings(graph, rules))
    for setting in (*_ones(graph, rules, found), *_large(graph, rules, found)):
        if all(setting.sizes != other.sizes for other in found):
            found.append(setting)
    found += _constants(graph, rules, found[0])
    found = [_told(graph, setting) for setting in found]
    more = _even(graph, rules) if any(setting.uneven for setting in found) else ()
    # Much code is meant for sizes that the windows fit, and says so or not.
    for setting in (*more, *_apart(graph, rules)):
        if all(setting.sizes != other.sizes or other.constants for other in found):
            found.append(setting)
    return tuple(_meant(found))


def _apart(graph: Graph, rules: Mapping[str, SizeRule]) -> Iterator[Setting]:
    """Sizes with several windows that overlap along every axis, where there are windows.

    Those that windows fit where they fit any, for code may refuse all others.
    """
    from gradtool.numeric.sample import sizes_apart

    fitting = sizes_apart(graph, rules, partial(_windows_fit, graph))
    sizes = fitting or sizes_apart(graph, rules, lambda _: True)
    if sizes is not None:
        yield _told(graph, Setting(sizes, "several windows", _work(graph, sizes)))


def _meant(found: list[Setting]) -> list[Setting]:
    """The settings, none of them uneven where windows fit no sizes at all.

    As after an upsampling by two, where a window of three with a stride of two always leaves a
    remainder: code for such a layer cannot be meant for other sizes, and may not refuse these.
    """
    if any(not setting.uneven for setting in found if not setting.constants):
        return found
    return [setting if setting.constants else replace(setting, uneven=False) for setting in found]


def _told(graph: Graph, setting: Setting) -> Setting:
    sizes, constants = setting.sizes, {**graph.constants, **setting.constants}
    whole = {n: v for n, v in {**constants, **sizes}.items() if isinstance(v, int)}
    shapes = [tensor.shape for tensor in graph.tensors.values()]
    left = any(dim.leaves_remainder(whole) for shape in shapes for dim in shape)
    return replace(setting, uneven=True) if left else setting


def _windows_fit(graph: Graph, sizes: Mapping[str, int]) -> bool:
    return not _told(graph, Setting(sizes, "", 0)).uneven


def _even(graph: Graph, rules: Mapping[str, SizeRule]) -> Iterator[Setting]:
    """Sets of sizes at which no stride leaves a remainder, where there are any.

    Code may refuse all other sizes, so it is here that a mistake must show: if there are such
    sizes, at some of them there is more than one window along every axis.
    """
    from gradtool.numeric.sample import computed, size_sets

    fits = partial(_windows_fit, graph)

    def fits_many(sizes: Mapping[str, int]) -> bool:
        return fits(sizes) and min(computed(graph, sizes), default=2) > 1

    for rule, most in ((fits, 2), (fits_many, 1)):
        try:
            sets = size_sets(graph, rules, rule)[:most]
        except UnsupportedError:
            continue
        for sizes in sets:
            yield Setting(sizes, "sizes that the windows fit", _work(graph, sizes))


def small_settings(graph: Graph, rules: Mapping[str, SizeRule]) -> tuple[Setting, ...]:
    """Two with pairwise distinct sizes, one with equal ones, one with all sizes 1.

    One more that windows fit, where they fit none of these.

    Raises:
        UnsupportedError: no sizes satisfy the spec.
    """
    from gradtool.numeric.sample import size_sets

    found: list[Setting] = []
    for sizes in size_sets(graph, rules):
        found.append(_told(graph, Setting(sizes, _kind(sizes, found), _work(graph, sizes))))
    if all(setting.uneven for setting in found):
        found += islice(_even(graph, rules), 1)
    return tuple(_meant(found))


def _work(graph: Graph, sizes: Mapping[str, int]) -> int:
    """Scalar operations of one evaluation, those of matrix functions included."""
    from gradtool.ir.graph import MatrixFunction
    from gradtool.numeric.sample import work

    total = work(graph, sizes)
    for statement in graph.statements:
        if isinstance(statement, MatrixFunction):
            axes = [
                dim.evaluate({**sizes, **graph.integers}) for dim in statement.operands[0].shape
            ]
            total += prod(axes) * axes[-1]
    return total


def _kind(sizes: Mapping[str, int], before: list[Setting]) -> str:
    different = set(sizes.values())
    if len(sizes) > 1 and len(different) == 1:
        return "every size is 1" if different == {1} else "equal sizes"
    if len(different) == len(sizes):
        return "other distinct sizes" if before else "distinct sizes"
    return "small sizes"


def _free(graph: Graph, rules: Mapping[str, SizeRule]) -> list[str]:
    return [n for n in graph.dimensions if n not in rules or rules[n].exactly is None]


def _ones(graph: Graph, rules: Mapping[str, SizeRule], found: list[Setting]) -> Iterator[Setting]:
    """Each axis of size one while the others are not."""
    from gradtool.numeric.sample import allowed

    for name in _free(graph, rules)[:_MOST_ALONE]:
        if name in rules and rules[name].minimum > 1:
            continue
        for base in found[:2]:
            sizes = {**base.sizes, name: 1}
            if allowed(graph, sizes):
                yield Setting(sizes, f"{name} is 1", _work(graph, sizes))
                break


def _large(graph: Graph, rules: Mapping[str, SizeRule], found: list[Setting]) -> Iterator[Setting]:
    from gradtool.numeric.sample import allowed

    free, base = _free(graph, rules), found[0].sizes

    def setting(sizes: Mapping[str, int], varies: str, most: int) -> Setting | None:
        cost = _work(graph, sizes) if allowed(graph, sizes) else most + 1
        return Setting(dict(sizes), varies, cost) if cost <= most else None

    every = {**base, **{n: _LARGER * base[n] for n in free}}
    together = setting(every, f"all sizes {_LARGER} times larger", _LARGER_WORK)
    if together is not None:
        yield together
    small = min((s.sizes for s in found), key=lambda sizes: _work(graph, sizes))
    twos = {**base, **{n: max(2, rules[n].minimum if n in rules else 1) for n in free}}
    for name in free[:_MOST_ALONE]:
        if together is None:
            larger = {**base, name: _LARGER * base[name]}
            alone = setting(larger, f"{name} {_LARGER} times larger", _LARGER_WORK)
            if alone is not None:
                yield alone
        most = max(every[name] if together else 0, *(s.sizes[name] for s in found))
        ways = [(n, start) for start in (base, small) for n in _LONG]
        # Beside axes of one entry much is zero, as behind a norm of one feature.
        ways += [(n, start) for n in _LONGISH for start in (base, twos) if n > most]
        longs = (setting({**start, name: n}, f"{name} is {n}", _LONG_WORK) for n, start in ways)
        yield from islice((s for s in longs if s is not None), 1)


def _is_offset(graph: Graph, name: str) -> bool:
    """Whether a constant only moves positions, as a padding does: 0 is a value like another.

    A stride or a dilation multiplies positions, and a size counts them.
    """
    from gradtool.ir.graph import Scan, Statement
    from gradtool.ir.walk import atoms, entries

    for statement in graph.statements:
        if isinstance(statement, Scan):
            if not _is_offset(statement.loop.body, name):
                return False
        elif isinstance(statement, Statement) and any(
            name in factor.symbols
            for base in atoms(statement.body)
            for entry in entries(base)
            for _, factor in entry.terms
        ):
            return False
    return True


def _sums_nothing(graph: Graph, sizes: Mapping[str, int]) -> bool:
    """Whether a sum has no terms at all: the constant counts them."""
    from gradtool.ir.graph import Statement

    whole = {**sizes, **graph.integers}
    return any(
        index.size.evaluate(whole) < 1
        for statement in graph.statements
        if isinstance(statement, Statement)
        for term in statement.body.terms
        for index in (*statement.bound, *term.bound)
    )


def _constants(graph: Graph, rules: Mapping[str, SizeRule], first: Setting) -> Iterator[Setting]:
    """Whole constants (a stride) one smaller and larger, then all real ones other than stated."""
    from gradtool.numeric.sample import size_sets, sizes_apart

    for name, value in graph.constants.items():
        if not isinstance(value, int):
            continue
        others = [other for other in (value - 1, value + 1) if other >= min(value, 1)]
        for other in [*others, 0] if value > 0 and _is_offset(graph, name) else others:
            changed = replace(graph, constants={**graph.constants, name: other})
            # One window hides what a stride is.
            sizes = sizes_apart(changed, rules, lambda _: True)
            if sizes is None or _work(changed, sizes) > _LARGER_WORK:
                try:
                    sizes = size_sets(changed, rules)[0]
                except UnsupportedError:
                    continue
            cost = _work(changed, sizes)
            if cost <= _LARGER_WORK:
                beyond = other == 0 < value
                if beyond and _sums_nothing(changed, sizes):
                    continue
                yield Setting(sizes, f"{name} is {other}", cost, {name: other}, beyond=beyond)
    reals = [(n, float(v)) for n, v in graph.constants.items() if not isinstance(v, int)]
    # By another factor each: equal ones may stand in each other's place, or a ratio for both.
    real = {n: (v or 1) * _OTHER_REAL ** (1 + k / len(reals)) for k, (n, v) in enumerate(reals)}
    if real:
        named = " and ".join(real)
        yield Setting(first.sizes, f"another {named}", first.work, real)
