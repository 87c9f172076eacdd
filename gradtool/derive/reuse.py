"""A line that stands inside another line is written by its name."""

from __future__ import annotations

from collections.abc import Sequence

from gradtool.derive.chains import factors_of, product_of
from gradtool.derive.line import Line
from gradtool.ir.tree import Call, Name, Tree, names, rebuild, size_of
from gradtool.records import replace

_LEAST_SIZE = 3


def reused(lines: Sequence[Line]) -> list[Line]:
    """The lines, with the right side of one as its name in the others."""
    result = list(lines)
    for source in sorted(lines, key=lambda line: -size_of(line.tree)):
        current = next(line for line in result if line.name == source.name)
        if not _worth_a_name(current):
            continue
        needs = _all_needs(current.name, result)
        for place, line in enumerate(result):
            if line.name == current.name or line.name in needs or _indexed(line.tree):
                continue
            tree = _replaced(line.tree, current.tree, Name(current.name))
            if tree != line.tree:
                result[place] = replace(line, tree=tree)
    return _runnable(result)


def _worth_a_name(line: Line) -> bool:
    """A kept cotangent, or a gradient that is more work than a sum over an axis."""
    if line.role == "inner" or size_of(line.tree) < _LEAST_SIZE or _indexed(line.tree):
        return False
    plain_sum = isinstance(line.tree, Call) and line.tree.op in ("sum", "mean")
    return line.role == "cotangent" or not plain_sum


def _indexed(tree: Tree) -> bool:
    return isinstance(tree, Call) and tree.op == "indexed"


def _all_needs(name: str, lines: Sequence[Line]) -> set[str]:
    """The lines that a line needs, directly or through others."""
    trees = {line.name: line.tree for line in lines}
    found: set[str] = set()
    frontier = {name}
    while frontier:
        frontier = {n for f in frontier for n in names(trees[f]) if n in trees} - found
        found |= frontier
    return found


def _replaced(tree: Tree, old: Tree, new: Tree) -> Tree:
    if tree == old:
        return new
    if _solves_more(tree, old):
        assert isinstance(tree, Call)
        assert isinstance(old, Call)
        rest = factors_of(tree.args[1])[len(factors_of(old.args[1])) :]
        return product_of([new, *(_replaced(f, old, new) for f in rest)])
    if isinstance(tree, Call) and tree.op == "matmul":
        whole, part = factors_of(tree), factors_of(old)
        for start in range(len(whole) - len(part) + 1):
            if len(part) > 1 and whole[start : start + len(part)] == part:
                left, right = whole[:start], whole[start + len(part) :]
                return product_of(
                    [*(_replaced(f, old, new) for f in left), new]
                    + [_replaced(f, old, new) for f in right]
                )
    return rebuild(tree, lambda child: _replaced(child, old, new))


def _solves_more(tree: Tree, old: Tree) -> bool:
    """``solve(A, B @ C)`` is ``solve(A, B) @ C``."""
    if not (isinstance(tree, Call) and isinstance(old, Call) and tree.op == old.op == "solve"):
        return False
    whole, part = factors_of(tree.args[1]), factors_of(old.args[1])
    return tree.args[0] == old.args[0] and whole[: len(part)] == part and len(whole) > len(part)


def _runnable(lines: list[Line]) -> list[Line]:
    """Every line after those that it needs, otherwise in the order given."""
    every = {line.name: line for line in lines}
    placed: dict[str, Line] = {}

    def place(line: Line) -> None:
        if line.name in placed:
            return
        for name in sorted(names(line.tree) & every.keys()):
            place(every[name])
        placed[line.name] = line

    for line in lines:
        place(line)
    return list(placed.values())
