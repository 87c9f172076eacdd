"""Arrays made from nothing: zeros, ones, arange, eye, onehot; and rows added up by labels."""

from __future__ import annotations

from gradtool.ir.dims import ONE, Dim, shape_text
from gradtool.ir.index import Affine
from gradtool.ir.poly import NOTHING, UNIT, Iverson, Position, atom
from gradtool.ir.tree import Call, Items, Tree
from gradtool.ops.arithmetic import real
from gradtool.ops.build import Builder, Operand, fail
from gradtool.ops.errors import OpError
from gradtool.ops.registry import Arguments, alias, word
from gradtool.ops.shape import items_of


def _shape(build: Builder, tree: Tree) -> tuple[tuple[Dim, ...], Tree]:
    trees = items_of(tree)
    shown: Tree = trees[0] if len(trees) == 1 else Items(tuple(trees))
    return tuple(build.dim(item) for item in trees), shown


@word("zeros", "shape", examples=("Y = X + zeros((N, D))",))
def zeros(build: Builder, call: Call, given: Arguments) -> Operand:
    """An array of zeros."""
    shape, shown = _shape(build, given["shape"])
    return Operand(shape, lambda _: NOTHING, Call("zeros", (shown,)))


@word("ones", "shape", examples=("Y = X + ones((N, D))",))
def ones(build: Builder, call: Call, given: Arguments) -> Operand:
    """An array of ones."""
    shape, shown = _shape(build, given["shape"])
    return Operand(shape, lambda _: UNIT, Call("ones", (shown,)))


@word("zeros_like", "x", examples=("Y = X + zeros_like(X)",))
def zeros_like(build: Builder, call: Call, given: Arguments) -> Operand:
    """Zeros in the shape of x."""
    x = build.operand(given["x"])
    return Operand(x.shape, lambda _: NOTHING, Call("zeros_like", (x.tree,)))


@word("ones_like", "x", examples=("Y = X + ones_like(X)",))
def ones_like(build: Builder, call: Call, given: Arguments) -> Operand:
    """Ones in the shape of x."""
    x = build.operand(given["x"])
    return Operand(x.shape, lambda _: UNIT, Call("ones_like", (x.tree,)))


@word("full", "shape value", examples=("Y = X + full((N, D), 2)",))
def full(build: Builder, call: Call, given: Arguments) -> Operand:
    """An array filled with one number."""
    shape, shown = _shape(build, given["shape"])
    value = build.operand(given["value"])
    if value.rank:
        fail("full needs a number", given["value"])
    return Operand(shape, lambda _: value.at(()), Call("full", (shown, value.tree)))


@word("arange", "stop", examples=("Y = X * arange(D)", "Y = X[arange(N), y]"))
def arange(build: Builder, call: Call, given: Arguments) -> Operand:
    """The integers 0 .. stop-1; indexes an axis, or counts as numbers."""
    stop = build.dim(given["stop"])
    return Operand(
        (stop,),
        lambda e: atom(Position(e[0])) if stop != ONE else NOTHING,
        Call("arange", (given["stop"],)),
        "index",
        lambda e: e[0] if stop != ONE else Affine.of(0),
        None,
    )


@word("eye", "n", examples=("Y = X @ eye(D)",))
def eye(build: Builder, call: Call, given: Arguments) -> Operand:
    """The identity matrix."""
    n = build.dim(given["n"])
    return Operand((n, n), lambda e: atom(Iverson("eq", e[0] - e[1])), Call("eye", (given["n"],)))


alias("identity", "eye")


@word("onehot", "labels", optional="classes", examples=("Y = X * onehot(y, D)", "Y = X*onehot(y)"))
def onehot(build: Builder, call: Call, given: Arguments) -> Operand:
    """Rows with a 1 at the label: shape of the labels and one more axis of the classes."""
    labels = build.operand(given["labels"])
    if labels.position is None:
        fail("onehot needs labels (an input with index: C)", given["labels"])
    position = labels.position
    classes = build.dim(given["classes"]) if "classes" in given else labels.labels
    if classes is None:
        raise OpError("the number of classes is not known", call.span, hint="onehot(y, C)")
    if labels.labels is not None and classes != labels.labels:
        fail(f"the labels index {labels.labels} classes, not {classes}", given["labels"])
    shown = (labels.tree, given["classes"]) if "classes" in given else (labels.tree,)
    return Operand(
        (*labels.shape, classes),
        lambda e: atom(Iverson("eq", e[-1] - position(e[:-1]))),
        Call("onehot", shown),
    )


alias("one_hot", "onehot")


@word(
    "scatter_add",
    "labels rows",
    optional="classes",
    examples=("Y = scatter_add(y, X)", "Y = scatter_add(y, X, D)"),
)
def scatter_add(build: Builder, call: Call, given: Arguments) -> Operand:
    """Rows added up by their labels, ``onehot(labels).T @ rows``: the way back of ``E[labels]``."""
    labels, rows = build.operand(given["labels"]), real(build, given["rows"])
    position = labels.position
    if position is None:
        fail("scatter_add needs labels (an input with index: C)", given["labels"])
    classes = build.dim(given["classes"]) if "classes" in given else labels.labels
    if classes is None:
        raise OpError("the number of classes is not known", call.span, hint="scatter_add(y, X, C)")
    if labels.labels is not None and classes != labels.labels:
        fail(f"the labels index {labels.labels} classes, not {classes}", given["labels"])
    if rows.shape[: labels.rank] != labels.shape:
        fail(
            f"scatter_add needs one row for each label: the labels have the shape "
            f"{shape_text(labels.shape)}, the rows {shape_text(rows.shape)}",
            given["rows"],
        )
    picked = build.indices(labels.shape)
    free = build.indices((classes, *rows.shape[labels.rank :]))
    here = [Affine.of(index) for index in picked]
    rest = [Affine.of(index) for index in free[1:]]
    chosen = atom(Iverson("eq", Affine.of(free[0]) - position(tuple(here))))
    body = (chosen * rows.at((*here, *rest))).over(picked)
    shown = (labels.tree, rows.tree, *([given["classes"]] if "classes" in given else []))
    return build.define(free, body, Call("scatter_add", shown))
