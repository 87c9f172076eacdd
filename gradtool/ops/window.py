"""Sliding windows: what convolutions, pooling and im2col have in common.

Along one axis, entry p of window i stands at ``stride*i + dilation*p - pad``.  Strides and pads
may be named integers of a spec; they stay symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gradtool.ir.dims import ONE, ZERO, Dim, shape_text
from gradtool.ir.index import Affine
from gradtool.ir.poly import UNIT, Access, Iverson, Poly, atom
from gradtool.ir.tree import Call, Items, Literal, Tree
from gradtool.ops.arithmetic import real
from gradtool.ops.build import Builder, Entries, Operand, fail, view
from gradtool.ops.registry import Arguments, word
from gradtool.ops.shape import dim_tree, items_of, permuted, reshaped
from gradtool.records import Struct


class Window(Struct, frozen=True):
    """A window that slides along one axis.

    Attributes:
        size: entries of the window.
        stride: from one window to the next.
        before: zeros in front of the axis.
        after: zeros behind it.
        dilation: from one entry of the window to the next.
    """

    size: Dim
    stride: Dim = ONE
    before: Dim = ZERO
    after: Dim = ZERO
    dilation: Dim = ONE

    @property
    def padded(self) -> bool:
        return self.before != ZERO or self.after != ZERO

    def room(self, length: Dim) -> Dim:
        """How far the window can move along an axis of this length."""
        return length + self.before + self.after - self.dilation * (self.size - 1) - 1

    def count(self, length: Dim) -> Dim:
        """The number of windows along an axis of this length."""
        return self.room(length) // self.stride + 1

    def entry(self, window: Affine, inner: Affine) -> Affine:
        """Where entry `inner` of a window stands on the axis; may lie in the padding."""
        return window * self.stride + inner * self.dilation - self.before


def windows_of(build: Builder, given: Arguments, sizes: Sequence[Dim]) -> tuple[Window, ...]:
    """The window of each axis, from the arguments stride, pad and dilation.

    Raises:
        OpError: a stride below 1, a negative pad, a wrong number of them.
    """
    count = len(sizes)
    strides = per_axis(build, given.get("stride"), count, ONE, "a stride", least=1)
    dilations = per_axis(build, given.get("dilation"), count, ONE, "a dilation", least=1)
    pads = _pads(build, given.get("pad"), sizes, strides, dilations)
    return tuple(
        Window(size, stride, before, after, dilation)
        for size, stride, (before, after), dilation in zip(
            sizes, strides, pads, dilations, strict=True
        )
    )


def counts(
    build: Builder, windows: Sequence[Window], lengths: Sequence[Dim], tree: Tree
) -> tuple[Dim, ...]:
    """How many windows each axis has room for.

    Raises:
        OpError: a window that is larger than its axis.
    """
    for window, length in zip(windows, lengths, strict=True):
        room = window.room(length)
        if room.as_int is not None and room.as_int < 0:
            fail(f"a window of {window.size} does not fit an axis of {length}", tree)
        build.assume(room)
    return tuple(w.count(length) for w, length in zip(windows, lengths, strict=True))


def per_axis(
    build: Builder, tree: Tree | None, count: int, default: Dim, what: str, *, least: int
) -> tuple[Dim, ...]:
    """One integer for every axis, given as one for all or as a tuple."""
    if tree is None or (isinstance(tree, Literal) and tree.value is None):
        return (default,) * count
    items = items_of(tree)
    if len(items) not in (1, count):
        fail(f"{what} is an integer or one for each of {count} axes, found {len(items)}", tree)
    dims = tuple(build.dim(item, what) for item in items)
    named = {n: v for n, v in build.constants.items() if isinstance(v, int)}
    for dim in dims:
        if dim.symbols <= named.keys() and dim.evaluate(named) < least:
            fail(f"{what} must be at least {least}, found {dim.evaluate(named)}", tree)
    return dims if len(dims) == count else dims * count


def _pads(
    build: Builder,
    tree: Tree | None,
    sizes: Sequence[Dim],
    strides: Sequence[Dim],
    dilations: Sequence[Dim],
) -> tuple[tuple[Dim, Dim], ...]:
    """Zeros before and after each axis: a number, one per axis, pairs, "valid" or "same"."""
    count = len(sizes)
    if isinstance(tree, Literal) and tree.value == "valid":
        return ((ZERO, ZERO),) * count
    if isinstance(tree, Literal) and tree.value == "same":
        if any(stride != ONE for stride in strides):
            fail('pad="same" needs stride 1', tree, hint="give the pad as a number")
        reach = [d * (s - 1) for d, s in zip(dilations, sizes, strict=True)]
        return tuple((r // 2, r - r // 2) for r in reach)
    if isinstance(tree, Items) and any(isinstance(item, Items) for item in tree.items):
        if len(tree.items) != count:
            fail(f"a pad is a pair for each of {count} axes, found {len(tree.items)}", tree)
        pairs = (per_axis(build, item, 2, ZERO, "a pad", least=0) for item in tree.items)
        return tuple((before, after) for before, after in pairs)
    pads = per_axis(build, tree, count, ZERO, "a pad", least=0)
    return tuple((pad, pad) for pad in pads)


def shown(windows: Sequence[Window], stride: Sequence[Dim] = ()) -> tuple[tuple[str, Tree], ...]:
    """The keywords stride, pad and dilation as they are printed, defaults left out."""
    usual = list(stride) or [ONE] * len(windows)
    found: list[tuple[str, Tree]] = []
    if [w.stride for w in windows] != usual:
        found.append(("stride", joined([w.stride for w in windows])))
    if any(w.before != w.after for w in windows):
        pairs = (Items((dim_tree(w.before), dim_tree(w.after))) for w in windows)
        found.append(("pad", Items(tuple(pairs))))
    elif any(w.padded for w in windows):
        found.append(("pad", joined([w.before for w in windows])))
    if any(w.dilation != ONE for w in windows):
        found.append(("dilation", joined([w.dilation for w in windows])))
    return tuple(found)


def joined(dims: Sequence[Dim]) -> Tree:
    """One number when all axes agree, else a tuple."""
    if len(set(dims)) == 1:
        return dim_tree(dims[0])
    return Items(tuple(map(dim_tree, dims)))


def zero_outside(build: Builder, x: Operand) -> Callable[[Sequence[Affine]], Poly]:
    """Entries of x, zero outside of it."""
    tensor = build.materialise(x)

    def at(entries: Sequence[Affine]) -> Poly:
        # An access outside its tensor is zero; an axis of size one is always accessed at 0.
        inside = UNIT
        for axis, entry in zip(tensor.shape, entries, strict=True):
            if axis == ONE and entry != Affine.of(0):
                inside = inside * atom(Iverson("eq", entry))
        return inside * atom(Access(tensor, on_axes(tensor.shape, entries)))

    return at


def on_axes(shape: Sequence[Dim], entries: Sequence[Affine]) -> Entries:
    zero = Affine.of(0)
    return tuple(zero if axis == ONE else e for axis, e in zip(shape, entries, strict=True))


def reader(
    build: Builder, x: Operand, windows: Sequence[Window]
) -> Callable[[Sequence[Affine]], Poly]:
    """Entries of x under windows: zero in the padding."""
    if any(window.padded for window in windows):
        return zero_outside(build, x)
    return lambda entries: x.at(on_axes(x.shape, entries))


@word(
    "windows",
    "x size",
    optional="stride pad dilation",
    examples=(
        "Y = windows(X, 2)",
        "Y = windows(X, (2, 2), stride=2, pad=1)",
    ),
)
def windows(build: Builder, call: Call, given: Arguments) -> Operand:
    """Every window of the last axes: those axes count windows, new last axes their entries.

    ``windows(X, (R, S))`` of an ``(N, C, H, W)`` image has the shape
    ``(N, C, H - R + 1, W - S + 1, R, S)``.
    """
    return _windowed(build, given, items_of(given["size"]))[0]


def _windowed(
    build: Builder, given: Arguments, sizes: Sequence[Tree]
) -> tuple[Operand, tuple[tuple[str, Tree], ...]]:
    """All windows of the given sizes over the last axes of x, and the options as printed."""
    x = real(build, given["x"])
    count = len(sizes)
    if x.rank < count:
        fail(f"windows of {count} axes need {count} axes, found {shape_text(x.shape)}", given["x"])
    lead = x.rank - count
    dims = [per_axis(build, s, 1, ONE, "the size of a window", least=1)[0] for s in sizes]
    made = windows_of(build, given, dims)
    shape = (*x.shape[:lead], *counts(build, made, x.shape[lead:], given["x"]), *dims)
    size: Tree = dim_tree(dims[0]) if count == 1 else Items(tuple(map(dim_tree, dims)))
    options = shown(made)
    tree = Call("windows", (x.tree, size), options)

    def move(entries: Sequence[Affine]) -> Entries:
        window, inner = entries[lead : lead + count], entries[lead + count :]
        moved = (w.entry(i, p) for w, i, p in zip(made, window, inner, strict=True))
        return (*entries[:lead], *moved)

    if not any(w.padded for w in made):
        return view(x, shape, lambda entries: on_axes(x.shape, move(entries)), tree), options
    free = build.indices(shape)
    body = zero_outside(build, x)(move([Affine.of(index) for index in free]))
    return build.define(free, body, tree), options


@word(
    "im2col",
    "x size",
    optional="stride pad dilation",
    examples=(
        "Y = im2col(T3[:, None], 2)",
        "Y = im2col(T3[:, None], (1, 2), stride=2, pad=1)",
    ),
)
def im2col(build: Builder, call: Call, given: Arguments) -> Operand:
    """The windows of images ``(N, C, H, W)`` as rows: ``(N*Ho*Wo, C*R*S)``.

    A convolution is then ``im2col(X, (R, S)) @ F.reshape(K, -1).T``.
    """
    x = real(build, given["x"])
    if x.rank != 4:
        fail(f"im2col needs images (N, C, H, W), found {shape_text(x.shape)}", given["x"])
    sizes = items_of(given["size"])
    every, options = _windowed(build, given, sizes * 2 if len(sizes) == 1 else sizes)
    n, c, rows, columns, height, width = every.shape
    ordered = permuted(every, [0, 2, 3, 1, 4, 5])
    tree = Call("im2col", (x.tree, joined([height, width])), options)
    return reshaped(build, ordered, (n * rows * columns, c * height * width), tree)


@word(
    "col2im",
    "col shape size",
    optional="stride pad dilation",
    examples=("Y = col2im(X.reshape(-1, 1), (N, 1, 1, D), (1, 1))",),
)
def col2im(build: Builder, call: Call, given: Arguments) -> Operand:
    """The transpose of im2col: every entry is added where the window has it.

    `shape` is that of the images, ``(N, C, H, W)``.
    """
    col = real(build, given["col"])
    shape = tuple(build.dim(tree) for tree in items_of(given["shape"]))
    if len(shape) != 4:
        fail("col2im needs the shape of images, (N, C, H, W)", given["shape"])
    n, c, *lengths = shape
    sizes = per_axis(build, given["size"], 2, ONE, "the size of a window", least=1)
    made = windows_of(build, given, sizes)
    found = counts(build, made, lengths, given["shape"])
    flat = (n * found[0] * found[1], c * sizes[0] * sizes[1])
    if col.shape != flat:
        fail(f"col2im expects {shape_text(flat)}, found {shape_text(col.shape)}", given["col"])
    parts = (n, *found, c, *sizes)
    tree = Call("reshape", (col.tree, Items(tuple(map(dim_tree, parts)))))
    windows = reshaped(build, col, parts, tree)
    free = build.indices(shape)
    image, channel, *places = (Affine.of(index) for index in free)
    bound = build.indices((*found, *sizes))
    window, inner = [Affine.of(i) for i in bound[:2]], [Affine.of(i) for i in bound[2:]]
    meets = UNIT
    for place, w, i, p in zip(places, made, window, inner, strict=True):
        meets = meets * atom(Iverson("eq", place - w.entry(i, p)))
    entries = (image, *window, channel, *inner)
    body = (windows.at(on_axes(parts, entries)) * meets).over(bound)
    written = Call(
        "col2im",
        (col.tree, Items(tuple(map(dim_tree, shape))), joined(sizes)),
        shown(made),
    )
    return build.define(free, body, written)
