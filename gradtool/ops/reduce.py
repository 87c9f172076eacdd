"""Reductions over axes: sum, mean, max, variance, norms, cumulative sums."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from gradtool.ir.dims import ONE, Dim, shape_text, total
from gradtool.ir.index import Affine, Index
from gradtool.ir.poly import Function, Iverson, atom, size
from gradtool.ir.tree import Call, Items, Number, Tree, integer
from gradtool.ir.tree import Literal as Constant
from gradtool.ops.arithmetic import real
from gradtool.ops.build import Builder, Entries, Operand, fail, span_of, view
from gradtool.ops.errors import OpError
from gradtool.ops.registry import Arguments, alias, word


def axes_of(build: Builder, given: Arguments, operand: Operand, default: str = "all") -> list[int]:
    """The axes to reduce over, 0-based; all of them by default.

    Raises:
        OpError: an axis that the operand does not have, or the same axis twice.
    """
    tree = given.get("axis")
    if tree is None or (isinstance(tree, Constant) and tree.value is None):
        return list(range(operand.rank)) if default == "all" else [operand.rank - 1]
    items = tree.items if isinstance(tree, Items) else (tree,)
    axes = [axis_of(build, item, operand) for item in items]
    if len(set(axes)) != len(axes):
        fail("the same axis is named twice", tree)
    return sorted(axes)


def axis_of(build: Builder, tree: Tree, operand: Operand, extra: int = 0) -> int:
    rank = operand.rank + extra
    axis = build.integer(tree, "an axis")
    if not -rank <= axis < rank:
        raise OpError(
            f"axis {axis} does not exist: the shape is {shape_text(operand.shape)}",
            span_of(tree),
            hint=f"axes run from 0 to {rank - 1}" if rank else "a scalar has no axes",
        )
    return axis % rank


def keep(build: Builder, given: Arguments) -> bool:
    tree = given.get("keepdims")
    if tree is None:
        return False
    if not isinstance(tree, Constant) or not isinstance(tree.value, bool):
        fail("keepdims must be True or False", tree)
    return tree.value


def axis_trees(operand: Operand, axes: Sequence[int], kept: bool) -> dict[str, Tree]:
    """The keywords of a reduction as they are printed."""
    shown: dict[str, Tree] = {}
    if len(axes) != operand.rank or (kept and operand.rank > 1):
        numbers = tuple(_whole(a) for a in axes)
        shown["axis"] = numbers[0] if len(numbers) == 1 else Items(numbers)
    if kept:
        shown["keepdims"] = Constant(True)
    return shown


def _whole(value: int) -> Tree:
    return integer(value)


def split(
    build: Builder, operand: Operand, axes: Sequence[int], kept: bool
) -> tuple[tuple[Index, ...], tuple[Index, ...], Entries]:
    """Free indices of the result, bound indices, and the entry of the operand."""
    every = build.indices(operand.shape)
    bound = tuple(every[a] for a in axes)
    free: list[Index] = []
    for axis, index in enumerate(every):
        if axis not in axes:
            free.append(index)
        elif kept:
            free.extend(build.indices((ONE,)))
    return tuple(free), bound, tuple(Affine.of(i) for i in every)


def reduced(
    build: Builder,
    operand: Operand,
    axes: Sequence[int],
    kept: bool,
    op: str,
    scale: Fraction | None = None,
) -> Operand:
    """The sum (or with `scale` the scaled mean) over axes."""
    free, bound, entries = split(build, operand, axes, kept)
    body = operand.at(entries).over(bound)
    if op == "mean":
        body = body * size(total(operand.shape[a] for a in axes)).power(-1)
    if not axes:
        return operand
    tree = Call(op, (operand.tree,), tuple(axis_trees(operand, axes, kept).items()))
    return build.define(free, body, tree)


@word(
    "sum",
    "x",
    optional="axis keepdims",
    examples=(
        "Y = sum(X)",
        "Y = X.sum(axis=0)",
        "Y = X.sum(axis=1, keepdims=True)",
        "Y = sum(X > 0)",
    ),
)
def sum_(build: Builder, call: Call, given: Arguments) -> Operand:
    """The sum over all axes, or over those named."""
    x = real(build, given["x"])
    return reduced(build, x, axes_of(build, given, x), keep(build, given), "sum")


@word("mean", "x", optional="axis keepdims", examples=("Y = X.mean(axis=0)", "Y = mean(X)"))
def mean(build: Builder, call: Call, given: Arguments) -> Operand:
    """The mean over all axes, or over those named."""
    x = real(build, given["x"])
    return reduced(build, x, axes_of(build, given, x), keep(build, given), "mean")


alias("average", "mean")


def _extremum(name: Literal["max", "min"]) -> None:
    def rule(build: Builder, call: Call, given: Arguments) -> Operand:
        x = real(build, given["x"])
        if not call.method and len(call.args) == 2:
            # Python's own max(a, b) picks a number, NumPy's max(a, axis) runs over an axis.
            other = f"{name}imum"
            if x.rank:
                hint = f"write {other}(x, y) for the {name} of two, x.{name}(axis=0) over an axis"
                fail(f"{name} of two arguments could mean either", call, hint)
            return build.operand(Call(other, call.args, span=call.span))
        axes, kept = axes_of(build, given, x), keep(build, given)
        if not axes:
            return x
        free, bound, entries = split(build, x, axes, kept)
        tree = Call(name, (x.tree,), tuple(axis_trees(x, axes, kept).items()))
        live = tuple(i for i in bound if i.size != ONE)
        if not live:
            return build.define(free, x.at(entries), tree)
        return build.define(free, x.at(entries), tree, reduce=name, bound=live)

    rule.__doc__ = f"The {name} over axes; a tie goes to the first entry."
    word(name, "x", optional="axis keepdims", examples=(f"Y = X.{name}(axis=1)",))(rule)
    alias(f"a{name}", name)


_extremum("max")
_extremum("min")


def _arg_extremum(name: Literal["argmax", "argmin"]) -> None:
    def rule(build: Builder, call: Call, given: Arguments) -> Operand:
        x = real(build, given["x"])
        axes = axes_of(build, given, x)
        kept = keep(build, given)
        free, bound, entries = split(build, x, axes, kept)
        tree = Call(name, (x.tree,), tuple(axis_trees(x, axes, kept).items()))
        labels = total(x.shape[a] for a in axes)
        return build.define(
            free, x.at(entries), tree, kind="index", reduce=name, bound=bound, labels=labels
        )

    rule.__doc__ = f"The position of the {name[3:]} over an axis; the first one at a tie."
    word(name, "x", optional="axis keepdims", examples=(f"Y = X[arange(N), {name}(X, axis=1)]",))(
        rule
    )


_arg_extremum("argmax")
_arg_extremum("argmin")


def variance(build: Builder, given: Arguments, name: str) -> Operand:
    """The mean squared deviation; `ddof` is subtracted from the count."""
    x = real(build, given["x"])
    axes, kept = axes_of(build, given, x), keep(build, given)
    centre = reduced(build, x, axes, True, "mean")
    free = build.indices(x.shape)
    entries = tuple(Affine.of(i) for i in free)
    middle = tuple(Affine.of(0) if a in axes else e for a, e in enumerate(entries))
    deviation = build.define(
        free, x.at(entries) - centre.at(middle), Call("sub", (x.tree, centre.tree))
    )
    ddof = build.dim(given["ddof"], "ddof") if "ddof" in given else Dim.of(0)
    count = total(x.shape[a] for a in axes) - ddof
    out, bound, inner = split(build, x, axes, kept)
    body = deviation.at(inner).power(2).over(bound) * size(count).power(-1)
    shown = axis_trees(x, axes, kept)
    if "ddof" in given:
        shown["ddof"] = given["ddof"]
    return build.define(out, body, Call("var", (x.tree,), tuple(shown.items())))


@word(
    "var",
    "x",
    optional="axis ddof keepdims",
    examples=(
        "Y = X.var(axis=0)",
        "Y = var(X, axis=1, keepdims=True)",
        "Y = var(X, axis=0, ddof=1)",
    ),
)
def var(build: Builder, call: Call, given: Arguments) -> Operand:
    """The variance: mean squared deviation from the mean."""
    return variance(build, given, "var")


@word("std", "x", optional="axis ddof keepdims", examples=("Y = X.std(axis=0)",))
def std(build: Builder, call: Call, given: Arguments) -> Operand:
    """The standard deviation, the square root of the variance."""
    squared = variance(build, given, "std")
    free = build.indices(squared.shape)
    body = build.entry(squared, free).power(Fraction(1, 2))
    x = real(build, given["x"])
    shown = dict(axis_trees(x, axes_of(build, given, x), keep(build, given)))
    if "ddof" in given:
        shown["ddof"] = given["ddof"]
    return build.define(free, body, Call("std", (x.tree,), tuple(shown.items())))


@word("norm", "x", optional="ord axis keepdims", examples=("Y = norm(X)", "Y = norm(X, axis=1)"))
def norm(build: Builder, call: Call, given: Arguments) -> Operand:
    """The Euclidean (Frobenius) norm over all axes, or over those named."""
    x = real(build, given["x"])
    axes, kept = axes_of(build, given, x), keep(build, given)
    if "ord" in given and not _is_euclidean(given["ord"], len(axes)):
        raise OpError(
            "only the Euclidean norm is supported: ord is None, 2 of vectors or 'fro' of matrices",
            given["ord"].span or call.span,
            hint="an axis is named, norm(X, axis=1); other norms are written out, abs(X).sum()",
        )
    free, bound, entries = split(build, x, axes, kept)
    shown = tuple(axis_trees(x, axes, kept).items())
    squares = build.define(
        free,
        x.at(entries).power(2).over(bound),
        Call("sum", (Call("pow", (x.tree, _whole(2))),), shown),
    )
    out = build.indices(squares.shape)
    body = build.entry(squares, out).power(Fraction(1, 2))
    return build.define(out, body, Call("norm", (x.tree,), shown))


def _is_euclidean(order: Tree, axes: int) -> bool:
    """Whether NumPy's `ord` means the root of the sum of squares over that many axes."""
    match order:
        case Constant(value=None):
            return True
        case Constant(value="fro"):
            return axes == 2
        case Number(value=value):
            return axes == 1 and value == 2
    return False


@word("cumsum", "x", optional="axis", examples=("Y = cumsum(X, axis=1)",))
def cumsum(build: Builder, call: Call, given: Arguments) -> Operand:
    """Running sums along one axis."""
    x = real(build, given["x"])
    axes = axes_of(build, given, x)
    if len(axes) != 1:
        raise OpError("cumsum needs an axis", call.span, hint="cumsum(X, axis=1)")
    (axis,) = axes
    free = build.indices(x.shape)
    (inner,) = build.indices((x.shape[axis],))
    entries = tuple(Affine.of(inner if a == axis else i) for a, i in enumerate(free))
    before = atom(Iverson("ge", Affine.of(free[axis]) - Affine.of(inner)))
    body = (x.at(entries) * before).over([inner])
    tree = Call("cumsum", (x.tree,), (("axis", _whole(axis)),))
    return build.define(free, body, tree)


# -- the softmax family: defined by what they compute -------------------------------------


def _exponentials(build: Builder, x: Operand, axes: list[int]) -> tuple[Operand, Operand]:
    free = build.indices(x.shape)
    body = atom(Function("exp", (build.entry(x, free),)))
    exponentials = build.define(free, body, Call("exp", (x.tree,)))
    return exponentials, reduced(build, exponentials, axes, True, "sum")


def _last_axis(build: Builder, given: Arguments) -> tuple[Operand, list[int], Tree]:
    x = real(build, given["x"])
    if not x.rank:
        fail("a softmax needs an axis; this is a scalar", given["x"])
    axes = axes_of(build, given, x, default="last")
    shown = _whole(axes[0]) if len(axes) == 1 else Items(tuple(map(_whole, axes)))
    return x, axes, shown


@word("softmax", "x", optional="axis", examples=("Y = softmax(X)", "Y = softmax(X, axis=0)"))
def softmax(build: Builder, call: Call, given: Arguments) -> Operand:
    """``exp(x) / exp(x).sum(axis, keepdims=True)``, over the last axis by default."""
    x, axes, shown = _last_axis(build, given)
    exponentials, sums = _exponentials(build, x, axes)
    free = build.indices(x.shape)
    entries = tuple(Affine.of(i) for i in free)
    kept = tuple(Affine.of(0) if a in axes else e for a, e in enumerate(entries))
    body = exponentials.at(entries) * sums.at(kept).power(-1)
    return build.define(free, body, Call("softmax", (x.tree,), (("axis", shown),)))


@word(
    "logsumexp",
    "x",
    optional="axis keepdims",
    examples=(
        "Y = logsumexp(X)",
        "Y = logsumexp(X, axis=0)",
        "Y = logsumexp(X, axis=1, keepdims=True)",
    ),
)
def logsumexp(build: Builder, call: Call, given: Arguments) -> Operand:
    """``log(exp(x).sum(axis))``, over the last axis by default."""
    x, axes, shown = _last_axis(build, given)
    _, sums = _exponentials(build, x, axes)
    free = build.indices(sums.shape)
    kept = keep(build, given)
    body = atom(Function("log", (build.entry(sums, free),)))
    keywords: tuple[tuple[str, Tree], ...] = (("axis", shown), ("keepdims", Constant(True)))
    whole = build.define(free, body, Call("logsumexp", (x.tree,), keywords))
    if kept:
        return whole
    return _squeezed(whole, axes, Call("logsumexp", (x.tree,), (("axis", shown),)))


def _squeezed(operand: Operand, axes: list[int], tree: Tree) -> Operand:
    shape = tuple(d for a, d in enumerate(operand.shape) if a not in axes)

    def move(entries: Entries) -> Entries:
        rest = iter(entries)
        return tuple(Affine.of(0) if a in axes else next(rest) for a in range(operand.rank))

    return view(operand, shape, move, tree)


@word("log_softmax", "x", optional="axis", examples=("Y = log_softmax(X, axis=1)",))
def log_softmax(build: Builder, call: Call, given: Arguments) -> Operand:
    """``x - logsumexp(x, axis, keepdims=True)``, over the last axis by default."""
    x, axes, shown = _last_axis(build, given)
    _, sums = _exponentials(build, x, axes)
    free = build.indices(x.shape)
    entries = tuple(Affine.of(i) for i in free)
    kept = tuple(Affine.of(0) if a in axes else e for a, e in enumerate(entries))
    body = x.at(entries) - atom(Function("log", (sums.at(kept),)))
    return build.define(free, body, Call("log_softmax", (x.tree,), (("axis", shown),)))
