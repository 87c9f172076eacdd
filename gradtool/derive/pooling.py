"""Sums that spread an array over the windows of an image: the way back of pooling."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from gradtool.derive.pieces import Piece, Slots
from gradtool.derive.sliding import compound, plain, positive
from gradtool.ir.dims import ONE, Dim
from gradtool.ir.index import Affine, Index, Label, nonnegative
from gradtool.ir.poly import Access, Iverson, Poly, Term, poly_of
from gradtool.ir.tree import Call, Items, Literal, Name, Tree, call, integer
from gradtool.ops.build import Builder, of_tensor
from gradtool.ops.errors import OpError
from gradtool.ops.registry import vocabulary
from gradtool.ops.shape import dim_tree
from gradtool.ops.window import Window, joined, shown
from gradtool.records import Struct


class _Spread(Struct, frozen=True):
    """An array whose entries each go to the window of an image.

    Attributes:
        source: the array, one entry for each window.
        axes: its two axes that number the windows.
        image: the indices of the image along these axes.
    """

    source: Access
    axes: tuple[int, int]
    image: tuple[Index, Index]

    @property
    def counts(self) -> tuple[Index, Index]:
        found = [self.source.index[axis].as_index for axis in self.axes]
        assert found[0] is not None
        assert found[1] is not None
        return found[0], found[1]

    @property
    def result(self) -> tuple[Index | None, ...]:
        places = dict(zip(self.axes, self.image, strict=True))
        return tuple(
            places.get(axis, position.as_index) for axis, position in enumerate(self.source.index)
        )

    @property
    def layout(self) -> tuple[tuple[str, Tree], ...] | None:
        """The keyword for the layout; None when the axes stand nowhere a word knows."""
        rank = len(self.source.index)
        if self.axes == (rank - 2, rank - 1):
            return ()
        return (("layout", Literal("NHWC")),) if self.axes == (rank - 3, rank - 2) else None

    @property
    def shape(self) -> Tree:
        return Items(tuple(dim_tree(index.size) for index in self.image))


def pooling_piece(term: Term, slots: Slots) -> Piece | None:
    """``max_unpool2d``, ``upsample_nearest`` or a transposed convolution with ones."""
    counted = _counted(term)
    spread = _read(counted, slots)
    if spread is None or spread.layout is None:
        return None
    conditions = [base for base, _ in counted.factors if base != spread.source]
    iversons = [base for base in conditions if isinstance(base, Iverson)]
    if len(iversons) != len(conditions):
        return None
    chosen = [i for i in iversons if i.relation == "eq" and any(i.value.labels())]
    if len(chosen) == 1:
        return _unpooled(term, spread, chosen[0], iversons)
    return _averaged(spread, iversons)


def _counted(term: Term) -> Term:
    """``Y[h - r + pad]``, summed over r, as Y[i] where ``0 <= h - i + pad < R``.

    A window that moves by one step may be solved for its number; here it is its own index again.
    """
    arrays = [base for base, _ in term.factors if isinstance(base, Access)]
    if len(arrays) != 1:
        return term
    (source,) = arrays
    for axis, position in compound(source):
        for inner, coefficient in position.terms:
            if inner not in term.bound or coefficient.as_int != -1:
                continue
            assert isinstance(inner, Index)
            if sum(inner in other.indices for other in source.index) != 1:
                continue
            count = Index(f"{inner.name}~", source.tensor.shape[axis])
            within = position + inner - count
            factors = tuple((b.substitute({inner: within}), e) for b, e in term.factors)
            guards = (Iverson("ge", within), Iverson("ge", Affine.of(inner.size - 1) - within))
            bound = tuple(count if index == inner else index for index in term.bound)
            more = tuple((guard, Fraction(1)) for guard in guards)
            return _counted(Term(term.coefficient, (*factors, *more), bound))
    return term


def _read(term: Term, slots: Slots) -> _Spread | None:
    arrays = [b for b, e in term.factors if isinstance(b, Access) and e == 1]
    if len(arrays) != 1 or len(term.bound) != 2:
        return None
    (source,) = arrays
    indices = [plain(p, d) for d, p in zip(source.tensor.shape, source.index, strict=True)]
    if any(i is None and d != ONE for i, d in zip(indices, source.tensor.shape, strict=True)):
        return None
    axes = [axis for axis, index in enumerate(indices) if index in term.bound]
    image = [i for i in slots if i is not None and i in term.indices and i not in indices]
    if len(axes) != 2 or len(image) != 2:
        return None
    return _Spread(source, (axes[0], axes[1]), (image[0], image[1]))


# -- averages -----------------------------------------------------------------------------


def _averaged(spread: _Spread, conditions: Sequence[Iverson]) -> Piece | None:
    """Every window gets its entry everywhere."""
    windows: list[Window] = []
    for image, count in zip(spread.image, spread.counts, strict=True):
        own = [c for c in conditions if c.indices == {image, count}]
        window = _band(own, image, count)
        if window is None:
            return None
        windows.append(window)
    if len(conditions) != 4:
        return None
    source = Name(spread.source.tensor.name)
    layout = spread.layout
    assert layout is not None
    tiles = all(
        w.stride == w.size and not w.padded and i.size == w.size * c.size
        for w, i, c in zip(windows, spread.image, spread.counts, strict=True)
    )
    if tiles:
        scale = joined([w.size for w in windows])
        return Piece(
            Call("upsample_nearest", (source,), (("scale", scale), *layout)), spread.result
        )
    rank = len(spread.result)
    if rank not in (2, 3, 4) or (rank == 3 and layout):
        return None
    sizes = [dim_tree(w.size) for w in windows]
    options = list(shown(windows))
    if rank > 2:
        channel = spread.source.tensor.shape[-1 if layout else -3]
        one = integer(1)
        sizes = [*sizes, one, dim_tree(channel)] if layout else [dim_tree(channel), one, *sizes]
        options.append(("groups", dim_tree(channel)))
    ones = call("ones", Items(tuple(sizes)))
    tree = Call("conv_transpose2d", (source, ones), (*options, *layout, ("shape", spread.shape)))
    return Piece(tree, spread.result)


def _band(conditions: Sequence[Iverson], image: Index, count: Index) -> Window | None:
    """``0 <= image + pad - stride*count <= size - 1``."""
    bounds = [c.value for c in conditions if c.relation == "ge"]
    below = [value for value in bounds if value.coefficient(image) == ONE]
    above = [value for value in bounds if value not in below]
    if len(below) != 1 or len(above) != 1:
        return None
    both = below[0] + above[0]
    stride, pad = -below[0].coefficient(count), below[0].const
    if both.as_dim is None or not positive(stride) or not nonnegative(pad):
        return None
    return Window(both.const + 1, stride, pad, pad)


# -- maxima -------------------------------------------------------------------------------


def _unpooled(
    term: Term, spread: _Spread, chosen: Iverson, conditions: Sequence[Iverson]
) -> Piece | None:
    """Every window gets its entry at the place that a label names."""
    named = tuple(chosen.value.labels())
    if len(named) != 1:
        return None  # a maximum of maxima
    (label,) = named
    windows = _label_windows(spread, label, chosen.value, conditions)
    layout = spread.layout
    if windows is None or layout is None:
        return None
    options = (
        ("size", joined([w.size for w in windows])),
        *shown(windows, [w.size for w in windows]),
        *layout,
        ("shape", spread.shape),
    )
    names = (Name(spread.source.tensor.name), Name(label.tensor.name))
    tree = Call("max_unpool2d", names, options)
    return Piece(tree, spread.result) if _proved(tree, term, spread, label) else None


def _label_windows(
    spread: _Spread, label: Label, value: Affine, conditions: Sequence[Iverson]
) -> tuple[Window, Window] | None:
    """From ``columns*(h + pad - stride*i) + (w + pad - stride*j) == label``."""
    if tuple(label.index) != spread.source.index or label.tensor.labels is None:
        return None
    (rows, columns), (first, second) = spread.image, spread.counts
    if value.coefficient(columns) != ONE:
        value = -value
    width = value.coefficient(rows)
    height = label.tensor.labels.divided_by(width)
    down = (-value.coefficient(first)).divided_by(width)
    across = -value.coefficient(second)
    lower = [
        c.value.const
        for c in conditions
        if c.relation == "ge" and c.indices == {rows, first} and c.value.coefficient(rows) == ONE
    ]
    if height is None or down is None or len(lower) != 1:
        return None
    if not (positive(down) and positive(across)):
        return None
    pads = lower[0], value.const - width * lower[0]
    if not all(map(nonnegative, pads)):
        return None
    return Window(height, down, pads[0], pads[0]), Window(width, across, pads[1], pads[1])


def _proved(tree: Call, term: Term, spread: _Spread, label: Label) -> bool:
    """Whether the word, written out in index notation, is the term."""
    symbols: set[str] = set()
    for dim in _sizes(term):
        symbols |= dim.symbols
    build = Builder(vocabulary(), {}, frozenset(symbols))
    for tensor in (spread.source.tensor, label.tensor):
        build.scope[tensor.name] = of_tensor(tensor)
    try:
        operand = build.operand(tree)
    except OpError:
        return False
    statement = build.statements[-1]
    axes = [Affine.of(0) if i is None else Affine.of(i) for i in spread.result]
    body = getattr(statement, "body", None)
    if operand.tensor is not statement.out or not isinstance(body, Poly):
        return False
    free = getattr(statement, "free", ())
    return body.substitute(dict(zip(free, axes, strict=True))) == poly_of((term,))


def _sizes(term: Term) -> list[Dim]:
    found = [index.size for index in (*term.bound, *term.indices)]
    for base, _ in term.factors:
        if isinstance(base, Access):
            found += base.tensor.shape
        elif isinstance(base, Iverson):
            found += [coefficient for _, coefficient in base.value.terms]
            found.append(base.value.const)
            for label in base.value.labels():
                found += [*label.tensor.shape, label.tensor.labels or ONE]
    return found
