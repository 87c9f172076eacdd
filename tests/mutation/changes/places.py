"""Loops, places, slices: one off, the other way round, the other half."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutation.key import PLACE, TENSOR, Codes, codes, of_place
from tests.mutation.site import Site
from tests.mutation.syntax import is_range

Found = Iterator[tuple[ast.AST | None, Codes, str]]


def ranges(site: Site) -> Found:
    """A loop that stops one early, begins one late, or counts the other way."""
    node = site.node
    if not isinstance(node, ast.Call) or not is_range(node):
        return
    if len(node.args) == 1:
        stop = node.args[0]
        early = ast.BinOp(stop, ast.Sub(), ast.Constant(1))
        yield ast.Call(node.func, [early], []), PLACE, "range"
        yield ast.Call(node.func, [ast.Constant(1), stop], []), PLACE, "range"
    if len(node.args) == 1 and isinstance(site.parent, ast.For):
        backwards = ast.Call(ast.Name("reversed", ast.Load()), [node], [])
        yield backwards, codes("step-order"), "range"
    if len(node.args) == 3 and ast.unparse(node.args[1]) == ast.unparse(node.args[2]) == "-1":
        first = node.args[0]
        if isinstance(first, ast.BinOp) and isinstance(first.op, ast.Sub):
            yield ast.Call(node.func, [first.left], []), codes("step-order"), "range"


def arithmetic(site: Site) -> Found:
    """Arithmetic of an index, x[:, t + r], where `sums` and `products` do not say all."""
    node = site.node
    if not isinstance(node, ast.BinOp) or not site.in_index() or site.in_condition():
        return
    if isinstance(node.op, ast.FloorDiv | ast.Mod):
        yield node.left, of_place(site) or PLACE, "index"


def slices(site: Site) -> Found:
    """The other part of what is cut in two, [:, :H] for [:, H:]; no step; not turned around."""
    node = site.node
    if not isinstance(node, ast.Slice):
        return
    lower, upper, step = node.lower, node.upper, node.step
    if step is not None:
        if ast.unparse(step) == "-1" and lower is None and upper is None:
            # A kernel that is not rotated, or steps in the order of the forward pass.
            turned = codes("kernel-not-rotated step-order transposed")
            yield ast.Slice(None, None, None), turned, "slice"
        else:
            yield ast.Slice(lower, upper, None), PLACE, "slice"
        return
    if (lower is None) == (upper is None):
        return
    # The gradient of the other half, or the other half of a value.
    accepted = (
        (of_place(site) or codes()) | codes("offset wrong-gradient order some-entries") | TENSOR
    )
    yield ast.Slice(upper, lower, None), accepted, "slice"
    yield ast.Slice(None, None, None), PLACE, "slice"


OPERATORS = (ranges, arithmetic, slices)
