"""Pooling and upsampling of images ``(N, C, H, W)`` or, with layout="NHWC", ``(N, H, W, C)``.

Every word acts on the axes H and W; all other axes are carried along.
"""

from __future__ import annotations

from fractions import Fraction

from gradtool.ir.dims import ONE, Dim, shape_text
from gradtool.ir.index import Affine, Index
from gradtool.ir.poly import NOTHING, UNIT, Iverson, Poly, atom, number, size
from gradtool.ir.tree import Call, Items, Literal, Tree
from gradtool.ops.arithmetic import real
from gradtool.ops.build import Builder, Operand, fail
from gradtool.ops.reduce import reduced
from gradtool.ops.registry import Arguments, word
from gradtool.ops.shape import dim_tree, reshaped
from gradtool.ops.window import (
    Window,
    counts,
    joined,
    on_axes,
    per_axis,
    reader,
    shown,
    windows_of,
)
from gradtool.records import Struct, replace

# Below every number that occurs: padding never wins a maximum.
_LOWEST = Fraction(-(10**300))


class _Pool(Struct, frozen=True):
    """Windows over the image axes of x.

    Attributes:
        free: the indices of the result.
        bound: the indices of a window.
        places: where an entry of a window stands on each image axis.
        entry: that entry, zero in the padding.
    """

    x: Operand
    axes: tuple[int, int]
    windows: tuple[Window, ...]
    free: tuple[Index, ...]
    bound: tuple[Index, ...]
    places: tuple[Affine, ...]
    entry: Poly
    tree: Call


def _image(build: Builder, call: Call, given: Arguments) -> tuple[Operand, tuple[int, int], str]:
    """The operand and its two image axes."""
    x = real(build, given["x"])
    tree = given.get("layout")
    layout = "NCHW" if tree is None else tree.value if isinstance(tree, Literal) else None
    if layout not in ("NCHW", "NHWC"):
        fail(f"{call.op} knows the layouts NCHW and NHWC", tree or call)
    needed = 2 if layout == "NCHW" else 3
    if x.rank < needed:
        fail(
            f"{call.op} needs images ({', '.join(layout)}), found {shape_text(x.shape)}", given["x"]
        )
    last = x.rank - (1 if layout == "NCHW" else 2)
    return x, (last - 1, last), layout


def _pool(build: Builder, call: Call, given: Arguments) -> _Pool:
    x, axes, layout = _image(build, call, given)
    sizes = per_axis(build, given.get("size"), 2, Dim.of(2), "the size of a window", least=1)
    windows = _strided(windows_of(build, given, sizes), given)
    for window in windows:
        build.assume(window.size - 1 - window.before)  # no window holds padding only
    found = counts(build, windows, [x.shape[a] for a in axes], given["x"])
    lengths = dict(zip(axes, found, strict=True))
    free = build.indices([lengths.get(a, d) for a, d in enumerate(x.shape)])
    bound = build.indices(sizes)
    places = [
        w.entry(Affine.of(free[a]), Affine.of(p))
        for w, a, p in zip(windows, axes, bound, strict=True)
    ]
    inner = dict(zip(axes, places, strict=True))
    entries = [inner.get(a, Affine.of(i)) for a, i in enumerate(free)]
    options = [("size", joined(sizes)), *shown(windows, sizes)]
    if layout != "NCHW":
        options.append(("layout", Literal(layout)))
    return _Pool(
        x,
        axes,
        windows,
        free,
        bound,
        tuple(places),
        reader(build, x, windows)(entries),
        Call(call.op, (x.tree,), tuple(options)),
    )


def _strided(windows: tuple[Window, ...], given: Arguments) -> tuple[Window, ...]:
    """Windows that do not overlap, unless the stride is given."""
    stride = given.get("stride")
    if stride is None or (isinstance(stride, Literal) and stride.value is None):
        return tuple(replace(w, stride=w.size) for w in windows)
    return windows


def _padding(pool: _Pool) -> Poly:
    """1 where an entry of a window lies in the padding, as a sum of exclusive cases."""
    outside, inside = NOTHING, UNIT
    for window, axis, place in zip(pool.windows, pool.axes, pool.places, strict=True):
        if not window.padded:
            continue
        last = Affine.of(pool.x.shape[axis] - 1)
        before, behind = atom(Iverson("ge", -place - 1)), atom(Iverson("ge", place - last - 1))
        outside = outside + inside * (before + behind)
        inside = inside * atom(Iverson("ge", place)) * atom(Iverson("ge", last - place))
    return outside


_OPTIONS = "size stride pad layout"


@word(
    "max_pool2d",
    "x",
    optional=_OPTIONS,
    examples=(
        "Y = max_pool2d(X)",
        "Y = max_pool2d(T3, size=(2, 1), stride=1)",
        "Y = max_pool2d(T3, size=2, stride=1, pad=1)",
    ),
)
def max_pool2d(build: Builder, call: Call, given: Arguments) -> Operand:
    """The largest entry of every window; padding never wins, a tie goes to the first entry.

    Windows are 2 by 2 by default and do not overlap unless `stride` says so.
    """
    pool = _pool(build, call, given)
    body = pool.entry + _padding(pool) * number(_LOWEST)
    live = tuple(i for i in pool.bound if i.size != ONE)
    if not live:
        return build.define(pool.free, body, pool.tree)
    return build.define(pool.free, body, pool.tree, reduce="max", bound=live)


@word("argmax_pool2d", "x", optional=_OPTIONS, examples=())
def argmax_pool2d(build: Builder, call: Call, given: Arguments) -> Operand:
    """The place of the largest entry within every window, counted row by row."""
    pool = _pool(build, call, given)
    body = pool.entry + _padding(pool) * number(_LOWEST)
    live = tuple(i for i in pool.bound if i.size != ONE)
    rows, columns = (w.size for w in pool.windows)
    return build.define(
        pool.free,
        body,
        pool.tree,
        kind="index",
        reduce="argmax",
        bound=live,
        labels=rows * columns,
    )


@word("max_unpool2d", "x best", optional="size stride pad layout shape", examples=())
def max_unpool2d(build: Builder, call: Call, given: Arguments) -> Operand:
    """Every entry of x at the place of its window that `best` names, in an image of zeros.

    `best` comes from argmax_pool2d with the same size, stride and pad; `shape` is (H, W).  Entries
    of windows that overlap add up.
    """
    x, axes, layout = _image(build, call, given)
    best = build.operand(given["best"])
    if best.position is None or best.shape != x.shape:
        fail(
            f"best must hold the places that argmax_pool2d gives, {shape_text(x.shape)}",
            given["best"],
        )
    if "shape" not in given:
        fail("max_unpool2d needs the size of the image: shape=(H, W)", call)
    sizes = per_axis(build, given.get("size"), 2, Dim.of(2), "the size of a window", least=1)
    windows = _strided(windows_of(build, given, sizes), given)
    image = per_axis(build, given["shape"], 2, ONE, "a size", least=1)
    if counts(build, windows, image, given["shape"]) != tuple(x.shape[a] for a in axes):
        fail(f"windows over {shape_text(image)} do not give {shape_text(x.shape)}", given["shape"])
    lengths = dict(zip(axes, image, strict=True))
    free = build.indices([lengths.get(a, d) for a, d in enumerate(x.shape)])
    places = build.indices([x.shape[a] for a in axes])
    inner = build.indices(sizes)
    meets = UNIT
    source = [Affine.of(i) for i in free]
    for axis, window, i, p in zip(axes, windows, places, inner, strict=True):
        entry = window.entry(Affine.of(i), Affine.of(p))
        meets = meets * atom(Iverson("eq", Affine.of(free[axis]) - entry))
        source[axis] = Affine.of(i)
    entries = on_axes(x.shape, source)
    flat = Affine.of(inner[0]) * sizes[1] + inner[1]
    chosen = atom(Iverson("eq", flat - best.position(entries)))
    options = [("size", joined(sizes)), *shown(windows, sizes)]
    if layout != "NCHW":
        options.append(("layout", Literal(layout)))
    options.append(("shape", Items(tuple(map(dim_tree, image)))))
    body = (x.at(entries) * chosen * meets).over((*places, *inner))
    return build.define(free, body, Call(call.op, (x.tree, best.tree), tuple(options)))


@word(
    "avg_pool2d",
    "x",
    optional=_OPTIONS,
    examples=(
        "Y = avg_pool2d(X, size=1)",
        "Y = avg_pool2d(T3, size=(2, 1), stride=1, pad=(1, 0))",
    ),
)
def avg_pool2d(build: Builder, call: Call, given: Arguments) -> Operand:
    """The mean of every window; zeros of the padding count."""
    pool = _pool(build, call, given)
    rows, columns = (w.size for w in pool.windows)
    body = pool.entry.over(pool.bound) * size(rows * columns).power(-1)
    return build.define(pool.free, body, pool.tree)


@word("global_avg_pool", "x", optional="layout", examples=("Y = global_avg_pool(T3)",))
def global_avg_pool(build: Builder, call: Call, given: Arguments) -> Operand:
    """The mean of every channel: ``(N, C, H, W)`` becomes ``(N, C)``."""
    x, axes, _ = _image(build, call, given)
    return reduced(build, x, axes, False, "mean")


@word("global_max_pool", "x", optional="layout", examples=("Y = global_max_pool(T3)",))
def global_max_pool(build: Builder, call: Call, given: Arguments) -> Operand:
    """The largest entry of every channel: ``(N, C, H, W)`` becomes ``(N, C)``."""
    _, axes, _ = _image(build, call, given)
    axis = Items(tuple(map(dim_tree, map(Dim.of, axes))))
    return build.operand(Call("max", (given["x"],), (("axis", axis),), span=call.span))


@word(
    "upsample_nearest",
    "x",
    optional="scale layout",
    examples=(
        "Y = upsample_nearest(X)",
        "Y = upsample_nearest(T3, scale=(2, 3))",
    ),
)
def upsample_nearest(build: Builder, call: Call, given: Arguments) -> Operand:
    """Every pixel repeated `scale` times (2 by default) along both image axes."""
    x, axes, layout = _image(build, call, given)
    scale = per_axis(build, given.get("scale"), 2, Dim.of(2), "the scale", least=1)
    shape: list[Dim] = []
    source: list[int] = []  # the axes of the repeated array that x has
    for axis, length in enumerate(x.shape):
        source.append(len(shape))
        shape.append(length)
        if axis in axes:
            shape.append(scale[axes.index(axis)])
    free = build.indices(shape)
    body = x.at(on_axes(x.shape, [Affine.of(free[k]) for k in source]))
    wide = tuple(
        length * scale[axes.index(a)] if a in axes else length for a, length in enumerate(x.shape)
    )
    options: list[tuple[str, Tree]] = [("scale", joined(scale))]
    if layout != "NCHW":
        options.append(("layout", Literal(layout)))
    tree = Call("upsample_nearest", (x.tree,), tuple(options))
    inner = Call("reshape", (tree, Items(tuple(map(dim_tree, shape)))))
    return reshaped(build, build.define(free, body, inner), wide, tree)
