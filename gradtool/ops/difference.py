"""Differences of neighbours: an operator in one file, which is all that it takes."""

from __future__ import annotations

from gradtool.ir.index import Affine
from gradtool.ir.tree import Call, integer
from gradtool.ops.arithmetic import real
from gradtool.ops.build import Builder, Operand, fail
from gradtool.ops.reduce import axis_of
from gradtool.ops.registry import Arguments, word
from gradtool.ops.truth import refuse_truths


@word(
    "diff",
    "x",
    optional="n axis",
    examples=("Y = diff(X)", "Y = diff(X, axis=0)", "Y = diff(X, n=2)"),
)
def diff(build: Builder, call: Call, given: Arguments) -> Operand:
    """Every entry minus the one before it, n times, along the last axis by default."""
    x = real(build, given["x"])
    refuse_truths(call, (x.of_truths,), "whether neighbours differ", "write diff(1*x)")
    times = build.integer(given["n"], "the number of differences") if "n" in given else 1
    axis = axis_of(build, given["axis"], x) if "axis" in given else x.rank - 1
    if axis < 0 or times < 1:
        fail("diff needs an array that has axes, and n >= 1", call)
    for _ in range(times):
        free = build.indices([size - (k == axis) for k, size in enumerate(x.shape)])
        here = tuple(Affine.of(index) for index in free)
        following = tuple(place + (k == axis) for k, place in enumerate(here))
        tree = Call("diff", (x.tree,), (("axis", integer(axis)),))
        x = build.define(free, x.at(following) - x.at(here), tree)
    return x
