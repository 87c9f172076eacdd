"""Convolutions, pooling and windows in PyTorch.

PyTorch knows images with the channels in front and as many zeros behind an axis as before it; for
everything else the axes are moved and the zeros added first.
"""

from __future__ import annotations

from gradtool.emit.frameworks.sliding import Sliding, each, short, sliding, windowed
from gradtool.emit.frameworks.words import Words
from gradtool.emit.numpy_words import Typed
from gradtool.ir.tree import Call, Items, Literal, Name, Slice, Tree, call, integer
from gradtool.ops.shape import dim_tree

_NOTHING: Tree = Literal(None)
_ONE = integer(1)


def _moved(x: Tree, order: list[int]) -> Tree:
    return call("permute", x, *map(integer, order))


def _first(x: Tree, axes: int, count: int, last: bool) -> Tree:
    """An image of `axes` axes with its channels before the `count` places."""
    lead = axes - count - 1
    if not last:
        return x
    return _moved(x, [*range(lead), axes - 1, *range(lead, axes - 1)])


def _back(x: Tree, axes: int, count: int, last: bool) -> Tree:
    lead = axes - count - 1
    if not last:
        return x
    return _moved(x, [*range(lead), *range(lead + 1, axes), lead])


def _zeros_around(x: Tree, options: Sliding) -> Tree:
    widths = tuple(width for pad in reversed(options.pads) for width in pad)
    return call("torch.nn.functional.pad", x, Items(widths))


def _operands(words: Words, tree: Call, count: int, last: bool) -> tuple[Tree, Tree, int, bool]:
    """The image and the filter as PyTorch wants them, the axes of the image, and if it is plain."""
    x, f = (words.real(a) for a in tree.args[:2])
    axes = words.rank(tree.args[0])
    if axes == count:
        new = Items((_NOTHING, _NOTHING))
        return call("getitem", x, new), call("getitem", f, new), axes + 2, True
    if last:
        f = _moved(f, [count + 1, count, *range(count)])
    return _first(x, axes, count, last), f, axes, False


def _result(y: Tree, axes: int, count: int, plain: bool, last: bool) -> Tree:
    if plain:
        return call("getitem", y, Items((integer(0), integer(0))))
    return _back(y, axes, count, last)


def _bias(words: Words, tree: Call) -> Tree | None:
    return words.real(tree.args[2]) if len(tree.args) > 2 else None


def _keywords(options: Sliding, padded: bool) -> tuple[tuple[str, Tree], ...]:
    found: list[tuple[str, Tree]] = []
    if set(options.strides) != {_ONE}:
        found.append(("stride", short(options.strides)))
    if padded and options.padded:
        found.append(("padding", short(tuple(before for before, _ in options.pads))))
    if set(options.dilations) != {_ONE}:
        found.append(("dilation", short(options.dilations)))
    if options.groups != _ONE:
        found.append(("groups", options.groups))
    return tuple(found)


def convolution(words: Words, tree: Call) -> Typed:
    count = int(tree.op[-2])
    options = sliding(words, tree, count)
    x, f, axes, plain = _operands(words, tree, count, options.channels_last)
    if not options.even:
        x = _zeros_around(x, options)
    bias = _bias(words, tree)
    arguments = (x, f) if bias is None else (x, f, bias)
    y = Call(f"torch.nn.functional.{tree.op}", arguments, _keywords(options, options.even))
    return _result(y, axes, count, plain, options.channels_last), "real"


def transposed_convolution(words: Words, tree: Call) -> Typed:
    count = int(tree.op[-2])
    options = sliding(words, tree, count)
    x, f, axes, plain = _operands(words, tree, count, options.channels_last)
    bias = _bias(words, tree)
    if options.even and tree.keyword("shape") is None:
        arguments = (x, f) if bias is None else (x, f, bias)
        y: Tree = Call(f"torch.nn.functional.{tree.op}", arguments, _keywords(options, True))
        return _result(y, axes, count, plain, options.channels_last), "real"
    shape = words.names.shape(tree)
    places = shape[-count - 1 : -1] if options.channels_last else shape[-count:]
    sizes = Items(tuple(words.position(dim_tree(d)) for d in places))
    y = words.need(
        "conv_transpose", x, f, sizes, options.strides_tree(), options.pads_tree(),
        options.dilations_tree(), options.groups,
    )  # fmt: skip
    if bias is not None:
        everywhere = Slice(None, None, None)
        y = call("add", y, call("getitem", bias, Items((everywhere, *(_NOTHING,) * count))))
    return _result(y, axes, count, plain, options.channels_last), "real"


# -- windows ------------------------------------------------------------------------------


def columns(words: Words, tree: Call) -> Typed:
    """im2col."""
    options = sliding(words, tree, 2)
    sizes = each(words, tree.args[1], 2)
    every = windowed(words, words.real(tree.args[0]), sizes, options)
    shape = words.names.shape(tree)
    rows = _moved(every, [0, 2, 3, 1, 4, 5])
    return call("reshape", rows, integer(-1), words.position(dim_tree(shape[1]))), "real"


# -- pooling ------------------------------------------------------------------------------


def _pooled(words: Words, tree: Call) -> tuple[Tree, tuple[Tree, ...], Sliding, int]:
    """The image with its places last, the sizes of the windows, the options, the axes."""
    size = tree.keyword("size") or integer(2)
    sizes = each(words, size, 2)
    options = sliding(words, tree, 2, sizes)
    axes = words.rank(tree.args[0])
    x = words.real(tree.args[0])
    return _first(x, axes, 2, options.channels_last), sizes, options, axes


def _built_in(words: Words, options: Sliding, axes: int) -> bool:
    """Whether PyTorch's own pooling does it: no padding, and an image with channels."""
    return not options.padded and axes in (3, 4)


def _pool_options(sizes: tuple[Tree, ...], options: Sliding) -> tuple[tuple[str, Tree], ...]:
    return () if options.strides == sizes else (("stride", short(options.strides)),)


def largest_of_windows(words: Words, tree: Call) -> Typed:
    """max_pool2d."""
    x, sizes, options, axes = _pooled(words, tree)
    if _built_in(words, options, axes):
        y: Tree = Call("torch.nn.functional.max_pool2d", (x, short(sizes)),
                       _pool_options(sizes, options))  # fmt: skip
    else:
        every = windowed(words, x, sizes, options, Name('float("-inf")'))
        y = call("amax", every, dim=Items((integer(-2), integer(-1))))
    return _back(y, axes, 2, options.channels_last), "real"


def place_of_largest(words: Words, tree: Call) -> Typed:
    """argmax_pool2d: the first largest entry of every window, counted row by row."""
    x, sizes, options, axes = _pooled(words, tree)
    every = windowed(words, x, sizes, options, Name('float("-inf")'))
    best = words.need("argbest", every, Items((integer(-2), integer(-1))))
    return _back(best, axes, 2, options.channels_last), "int"


def placed(words: Words, tree: Call) -> Typed:
    """max_unpool2d."""
    x, sizes, options, axes = _pooled(words, tree)
    best = _first(words.position(tree.args[1]), axes, 2, options.channels_last)
    given = tree.keyword("shape")
    assert given is not None
    y = words.need("max_unpool2d", x, best, Items(each(words, given, 2)), Items(sizes),
                   options.strides_tree(), options.pads_tree())  # fmt: skip
    return _back(y, axes, 2, options.channels_last), "real"


def average_pool(words: Words, tree: Call) -> Typed:
    """avg_pool2d; the zeros of the padding count."""
    x, sizes, options, axes = _pooled(words, tree)
    if _built_in(words, options, axes):
        y: Tree = Call("torch.nn.functional.avg_pool2d", (x, short(sizes)),
                       _pool_options(sizes, options))  # fmt: skip
    else:
        every = windowed(words, x, sizes, options)
        y = call("mean", every, dim=Items((integer(-2), integer(-1))))
    return _back(y, axes, 2, options.channels_last), "real"


def upsampled(words: Words, tree: Call) -> Typed:
    """upsample_nearest."""
    options = sliding(words, tree, 2)
    scale = each(words, tree.keyword("scale") or integer(2), 2)
    x = words.real(tree.args[0])
    last = words.rank(tree.args[0]) - (2 if options.channels_last else 1)
    for axis, times in zip((last - 1, last), scale, strict=True):
        x = call("repeat_interleave", x, times, dim=integer(axis))
    return x, "real"
