"""The options of words with sliding windows, one value for every axis."""

from __future__ import annotations

from gradtool.emit.frameworks.words import Words, as_items
from gradtool.emit.numpy_words import Typed
from gradtool.ir.tree import Call, Items, Literal, Tree, integer
from gradtool.records import Struct

_ONE, _ZERO = integer(1), integer(0)


class Sliding(Struct, frozen=True):
    """Windows over `count` axes, each option a tuple with one entry for each axis."""

    strides: tuple[Tree, ...]
    pads: tuple[tuple[Tree, Tree], ...]
    dilations: tuple[Tree, ...]
    groups: Tree
    channels_last: bool

    @property
    def even(self) -> bool:
        """Whether as many zeros stand before every axis as behind it."""
        return all(before == after for before, after in self.pads)

    @property
    def padded(self) -> bool:
        return any(pad != (_ZERO, _ZERO) for pad in self.pads)

    def strides_tree(self) -> Tree:
        return Items(self.strides)

    def dilations_tree(self) -> Tree:
        return Items(self.dilations)

    def pads_tree(self) -> Tree:
        return Items(tuple(Items(pad) for pad in self.pads))


def sliding(words: Words, tree: Call, count: int, stride: tuple[Tree, ...] = ()) -> Sliding:
    """The options of a call; `stride` is what stands for one that is not given."""
    given = {name: value for name, value in tree.kwargs}
    layout = given.get("layout")
    return Sliding(
        _each(words, given.get("stride"), count) or stride or (_ONE,) * count,
        _pads(words, given.get("pad"), count),
        _each(words, given.get("dilation"), count) or (_ONE,) * count,
        words.position(given["groups"]) if "groups" in given else _ONE,
        isinstance(layout, Literal) and str(layout.value).endswith("C"),
    )


def each(words: Words, tree: Tree, count: int) -> tuple[Tree, ...]:
    """One number for all axes, or one for each."""
    items = tuple(map(words.position, as_items(tree)))
    return items if len(items) == count else items * count


def _each(words: Words, tree: Tree | None, count: int) -> tuple[Tree, ...]:
    return () if tree is None else each(words, tree, count)


def _pads(words: Words, tree: Tree | None, count: int) -> tuple[tuple[Tree, Tree], ...]:
    if tree is None:
        return ((_ZERO, _ZERO),) * count
    if isinstance(tree, Items) and any(isinstance(item, Items) for item in tree.items):
        pairs = (tuple(map(words.position, as_items(item))) for item in tree.items)
        return tuple((before, after) for before, after in pairs)
    return tuple((pad, pad) for pad in each(words, tree, count))


def short(values: tuple[Tree, ...]) -> Tree:
    """One number when all axes agree, else a tuple."""
    return values[0] if len(set(values)) == 1 else Items(values)


# -- words that are the same helper in both frameworks ---------------------------------------


def windowed(
    words: Words, x: Tree, sizes: tuple[Tree, ...], options: Sliding, fill: Tree | None = None
) -> Tree:
    """The windows of the last axes; `fill` is what stands outside, zero unless given."""
    arguments = (x, Items(sizes), options.strides_tree(), options.pads_tree(),
                 options.dilations_tree())  # fmt: skip
    return words.need("windows", *arguments, *(() if fill is None else (fill,)))


def windows(words: Words, tree: Call) -> Typed:
    count = len(as_items(tree.args[1]))
    options = sliding(words, tree, count)
    sizes = each(words, tree.args[1], count)
    return windowed(words, words.real(tree.args[0]), sizes, options), "real"


def column_images(words: Words, tree: Call) -> Typed:
    """col2im."""
    options = sliding(words, tree, 2)
    shape = words.position(tree.args[1])
    arguments = (words.real(tree.args[0]), shape, Items(each(words, tree.args[2], 2)),
                 options.strides_tree(), options.pads_tree(), options.dilations_tree())  # fmt: skip
    return words.need("col2im", *arguments), "real"
