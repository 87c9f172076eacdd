"""Convolutions, pooling and windows in JAX."""

from __future__ import annotations

from gradtool.emit.frameworks.sliding import Sliding, each, sliding, windowed
from gradtool.emit.frameworks.words import Words
from gradtool.emit.numpy_words import Typed
from gradtool.ir.tree import Call, Items, Literal, Name, Slice, Tree, call, integer
from gradtool.ops.shape import dim_tree

_NOTHING: Tree = Literal(None)
_ONE = integer(1)
_EVERYTHING = Slice(None, None, None)
# How `jax.lax` names the axes of image, filter and result with the channels last.
_LAST = {1: ("NWC", "WIO"), 2: ("NHWC", "HWIO"), 3: ("NDHWC", "DHWIO")}


def _batched(words: Words, tree: Call, count: int) -> tuple[Tree, Tree, Items | None]:
    """Image and filter with all their axes, and the index that takes the new ones away again."""
    x, f = (words.real(a) for a in tree.args[:2])
    axes = words.rank(tree.args[0])
    if axes == count:
        new = Items((_NOTHING, _NOTHING))
        return call("getitem", x, new), call("getitem", f, new), Items((integer(0), integer(0)))
    if axes == count + 1:
        return call("getitem", x, Items((_NOTHING,))), f, Items((integer(0),))
    return x, f, None


def _with_bias(words: Words, tree: Call, y: Tree, count: int, last: bool) -> Tree:
    if len(tree.args) < 3:
        return y
    bias = words.real(tree.args[2])
    if not last:
        bias = call("getitem", bias, Items((_EVERYTHING, *(_NOTHING,) * count)))
    return call("add", y, bias)


def convolution(words: Words, tree: Call) -> Typed:
    count = int(tree.op[-2])
    options = sliding(words, tree, count)
    x, f, back = _batched(words, tree, count)
    keywords: list[tuple[str, Tree]] = []
    if any(d != _ONE for d in options.dilations):
        keywords.append(("rhs_dilation", options.dilations_tree()))
    if options.channels_last and words.rank(tree.args[0]) > count:
        image, kernel = _LAST[count]
        names = Items((Literal(image), Literal(kernel), Literal(image)))
        keywords.append(("dimension_numbers", names))
    if options.groups != _ONE:
        keywords.append(("feature_group_count", options.groups))
    arguments = (x, f, options.strides_tree(), options.pads_tree())
    y: Tree = Call("jax.lax.conv_general_dilated", arguments, tuple(keywords))
    y = _with_bias(words, tree, y, count, options.channels_last)
    return (y if back is None else call("getitem", y, back)), "real"


def transposed_convolution(words: Words, tree: Call) -> Typed:
    count = int(tree.op[-2])
    options = sliding(words, tree, count)
    x, f, back = _batched(words, tree, count)
    last = options.channels_last and words.rank(tree.args[0]) > count
    shape = words.names.shape(tree)
    places = shape[-count - 1 : -1] if last else shape[-count:]
    sizes = Items(tuple(words.position(dim_tree(d)) for d in places))
    if last:
        x = call("jnp.moveaxis", x, integer(-1), integer(1))
        order = (count + 1, count, *range(count))
        f = call("transpose", f, Items(tuple(map(integer, order))))
    y: Tree = words.need(
        "conv_transpose", x, f, sizes, options.strides_tree(), options.pads_tree(),
        options.dilations_tree(), options.groups,
    )  # fmt: skip
    if last:
        y = call("jnp.moveaxis", y, integer(1), integer(-1))
    y = _with_bias(words, tree, y, count, last)
    return (y if back is None else call("getitem", y, back)), "real"


# -- windows ------------------------------------------------------------------------------


def columns(words: Words, tree: Call) -> Typed:
    """im2col."""
    options = sliding(words, tree, 2)
    sizes = each(words, tree.args[1], 2)
    every = windowed(words, words.real(tree.args[0]), sizes, options)
    rows = call("transpose", every, Items(tuple(map(integer, (0, 2, 3, 1, 4, 5)))))
    width = words.position(dim_tree(words.names.shape(tree)[1]))
    return call("reshape", rows, integer(-1), width), "real"


# -- pooling ------------------------------------------------------------------------------


def _pooled(words: Words, tree: Call) -> tuple[Tree, tuple[Tree, ...], Sliding]:
    """The image with its places last, the sizes of the windows, the options."""
    sizes = each(words, tree.keyword("size") or integer(2), 2)
    options = sliding(words, tree, 2, sizes)
    return _first(words.real(tree.args[0]), options), sizes, options


def _first(x: Tree, options: Sliding) -> Tree:
    return call("jnp.moveaxis", x, integer(-1), integer(-3)) if options.channels_last else x


def _back(y: Tree, options: Sliding) -> Tree:
    return call("jnp.moveaxis", y, integer(-3), integer(-1)) if options.channels_last else y


_WINDOW = Items((integer(-2), integer(-1)))
_LOWEST = Name("-jnp.inf")


def largest_of_windows(words: Words, tree: Call) -> Typed:
    """max_pool2d."""
    x, sizes, options = _pooled(words, tree)
    return _back(call("max", windowed(words, x, sizes, options, _LOWEST), axis=_WINDOW),
                 options), "real"  # fmt: skip


def place_of_largest(words: Words, tree: Call) -> Typed:
    """argmax_pool2d: the first largest entry of every window, counted row by row."""
    x, sizes, options = _pooled(words, tree)
    every = windowed(words, x, sizes, options, _LOWEST)
    return _back(words.need("argbest", every, _WINDOW), options), "int"


def placed(words: Words, tree: Call) -> Typed:
    """max_unpool2d."""
    x, sizes, options = _pooled(words, tree)
    best = _first(words.position(tree.args[1]), options)
    given = tree.keyword("shape")
    assert given is not None
    y = words.need("max_unpool2d", x, best, Items(each(words, given, 2)), Items(sizes),
                   options.strides_tree(), options.pads_tree())  # fmt: skip
    return _back(y, options), "real"


def average_pool(words: Words, tree: Call) -> Typed:
    """avg_pool2d; the zeros of the padding count."""
    x, sizes, options = _pooled(words, tree)
    return _back(call("mean", windowed(words, x, sizes, options), axis=_WINDOW), options), "real"


def upsampled(words: Words, tree: Call) -> Typed:
    """upsample_nearest."""
    options = sliding(words, tree, 2)
    scale = each(words, tree.keyword("scale") or integer(2), 2)
    x = words.real(tree.args[0])
    last = words.rank(tree.args[0]) - (2 if options.channels_last else 1)
    for axis, times in zip((last - 1, last), scale, strict=True):
        x = call("jnp.repeat", x, times, axis=integer(axis))
    return x, "real"
