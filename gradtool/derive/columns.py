"""The way back of im2col: an array of windows, added up to images."""

from __future__ import annotations

from gradtool.derive.pieces import Piece, Slots
from gradtool.derive.sliding import axis_of, positive
from gradtool.ir.dims import ONE
from gradtool.ir.index import Affine, Index, nonnegative
from gradtool.ir.poly import Access, Iverson, Term
from gradtool.ir.tree import Call, Items, Name, call, integer
from gradtool.ops.shape import dim_tree
from gradtool.ops.window import Window, joined, shown


def columns_piece(term: Term, slots: Slots) -> Piece | None:
    """``col2im`` of an array with the axes batch, two counts, channel, and two of the window."""
    arrays = [b for b, e in term.factors if isinstance(b, Access) and e == 1]
    others = [b for b, _ in term.factors if b not in arrays]
    equalities = [b.value for b in others if isinstance(b, Iverson) and b.relation == "eq"]
    if len(arrays) != 1 or len(equalities) != len(others) or len(arrays[0].index) != 6:
        return None
    (source,) = arrays
    batch, channel = (source.index[axis].as_index for axis in (0, 3))
    if batch is None or channel is None:
        return None
    if axis_of(source, batch) != 0 or axis_of(source, channel) != 3:
        return None
    image = [i for i in slots if i is not None and i in term.indices and i not in (batch, channel)]
    if len(image) != 2 or len(term.bound) != 2 + len(equalities):
        return None
    windows: list[Window] = []
    for place, result in enumerate(image):
        window = _window(source, place, result, equalities)
        if window is None:
            return None
        windows.append(window)
    sizes = [window.size for window in windows]
    flat = Items((integer(-1), dim_tree(channel.size * sizes[0] * sizes[1])))
    every = (batch, channel, *image)
    shape = Items(tuple(dim_tree(index.size) for index in every))
    tree = Call(
        "col2im",
        (call("reshape", Name(source.tensor.name), flat), shape, joined(sizes)),
        shown(windows),
    )
    return Piece(tree, every)


def _window(source: Access, place: int, result: Index, equalities: list[Affine]) -> Window | None:
    """From ``result = stride*count + dilation*inner - pad``, solved for one of them or not."""
    numbers, entries = source.index[1 + place], source.index[4 + place]
    count, inner = axis_of(source, numbers.as_index), axis_of(source, entries.as_index)
    stride = dilation = ONE
    if count is None and inner is not None:
        relation = numbers
    elif inner is None and count is not None:
        relation = entries
    else:
        wanted = {result} | numbers.indices | entries.indices
        relation = next((e for e in equalities if e.indices == wanted), numbers)
    if relation.coefficient(result) != ONE:
        relation = -relation
    if relation.coefficient(result) != ONE or not relation.indices <= (
        {result} | numbers.indices | entries.indices
    ):
        return None
    for index, coefficient in relation.terms:
        if index == numbers.as_index:
            stride = -coefficient
        elif index == entries.as_index:
            dilation = -coefficient
        elif index != result:
            return None
    pad = relation.const
    if not (positive(stride) and positive(dilation) and nonnegative(pad)):
        return None
    return Window(source.tensor.shape[4 + place], stride, pad, pad, dilation)
