"""Products of two arrays that are convolutions, or transposed ones.

A product that reads an array under windows and sums is a correlation; one whose result is the
image is a transposed convolution.  Which axis is a batch or a channel follows from who carries
its index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradtool.derive.pieces import Piece
from gradtool.derive.sliding import axis_of, compound, plain, positive, turned, under
from gradtool.ir.dims import ONE
from gradtool.ir.index import Affine, Index, nonnegative
from gradtool.ir.poly import Access, Iverson, Term
from gradtool.ir.tree import Call, Items, Literal, Name, Tree, call, integer
from gradtool.ops.shape import dim_tree
from gradtool.ops.window import Window, shown
from gradtool.records import Struct


class Place(Struct, frozen=True):
    """One axis along which a window slides.

    Attributes:
        axis: its axis in the array that is read under windows, or that is spread.
        kernel: its axis in the filter; -1 where there is none.
        result: the index of the result along this axis.
    """

    axis: int
    kernel: int
    result: Index
    window: Window


def convolution_piece(term: Term) -> Piece | None:
    """A convolution or a transposed convolution of two arrays; None when the term is neither."""
    return _correlation(turned(term)) or _spread(term)


# -- what the words expect ----------------------------------------------------------------


class _Pattern(Struct, frozen=True):
    """The roles of the axes of image and filter.

    b: batch, c: summed channel, o: channel of the result, g: a channel that keeps to itself,
    1: an axis of size one, P: the places.
    """

    image: str
    filter: str
    last: bool = False  # channels last


_ALONE = (_Pattern("P", "P"), _Pattern("bgP", "g1P"), _Pattern("bPg", "P1g", last=True))
_CORRELATED = (
    _Pattern("bcP", "ocP"),
    _Pattern("cP", "ocP"),
    _Pattern("bPc", "Pco", last=True),
    *_ALONE,
)
_TRANSPOSED = (
    _Pattern("bcP", "coP"),
    _Pattern("cP", "coP"),
    _Pattern("bPc", "Poc", last=True),
    *_ALONE,
)
_LAST = {1: "NWC", 2: "NHWC", 3: "NDHWC"}
# Whether a role is summed, carried by the image, carried by the filter.
_CARRIED = {
    "b": (False, True, False),
    "o": (False, False, True),
    "c": (True, True, True),
    "g": (False, True, True),
}

_Roles = Mapping[str, "Index | None"]


def _roles(
    pattern: _Pattern, image: Access, kernel: Access, term: Term, places: Sequence[Place]
) -> _Roles | None:
    """The index of every role, None for an axis of size one; None when the pattern is another."""
    found: dict[str, Index | None] = {}
    for letters, entry, own in (
        (pattern.image, image, [p.axis for p in places]),
        (pattern.filter, kernel, [p.kernel for p in places]),
    ):
        wanted = letters.replace("P", "P" * len(places))
        if len(wanted) != len(entry.index):
            return None
        if [axis for axis, role in enumerate(wanted) if role == "P"] != own:
            return None
        for role, size, position in zip(wanted, entry.tensor.shape, entry.index, strict=True):
            if role == "P":
                continue
            index = plain(position, size)
            if (index is None and size != ONE) or found.get(role, index) != index:
                return None
            found[role] = index
    for role, index in found.items():
        if index is None:
            if role == "g":
                return None
            continue
        seen = (index in term.bound, index in image.indices, index in kernel.indices)
        if seen != _CARRIED.get(role):
            return None
    return found


def _convolution(
    op: str,
    pattern: _Pattern,
    roles: _Roles,
    image: Tree,
    kernel: Tree,
    places: Sequence[Place],
    windows: Sequence[Window],
    shape: Tree | None = None,
) -> Piece:
    """The call of a convolution word, with the axes of its result."""
    options = list(shown(windows))
    group = roles.get("g")
    if group is not None:
        options.append(("groups", dim_tree(group.size)))
    if pattern.last:
        options.append(("layout", Literal(_LAST[len(places)])))
    if shape is not None:
        options.append(("shape", shape))
    axes: list[Index | None] = []
    for role in pattern.image.replace("c", "o"):
        axes += [p.result for p in places] if role == "P" else [roles[role]]
    return Piece(Call(f"{op}{len(places)}d", (image, kernel), tuple(options)), tuple(axes))


def _pair(term: Term) -> tuple[Access, Access] | None:
    """The two arrays of a product that has no other factor than equalities of places."""
    arrays = [base for base, exponent in term.factors if isinstance(base, Access) and exponent == 1]
    others = [base for base, _ in term.factors if base not in arrays]
    if len(arrays) != 2 or any(not isinstance(o, Iverson) or o.relation != "eq" for o in others):
        return None
    return arrays[0], arrays[1]


# -- correlations -------------------------------------------------------------------------


def _correlation(term: Term) -> Piece | None:
    """``conv2d(X, F)``: the result counts the windows, the filter carries the inner indices."""
    arrays = _pair(term)
    if arrays is None or len(term.factors) != 2:
        return None
    for image, kernel in (arrays, arrays[::-1]):
        if any(compound(kernel)):
            continue
        places: list[Place] = []
        for axis, position in compound(image):
            inner = next((i for i, _ in position.terms if i in term.bound), None)
            found = None if not isinstance(inner, Index) else under(image, axis, inner)
            own = None if not isinstance(inner, Index) else axis_of(kernel, inner)
            if found is None or own is None or found[0] in term.bound:
                break
            places.append(Place(axis, own, *found))
        else:
            if places and len(places) in _LAST:
                for pattern in _CORRELATED:
                    roles = _roles(pattern, image, kernel, term, places)
                    if roles is not None:
                        return _convolution(
                            "conv",
                            pattern,
                            roles,
                            Name(image.tensor.name),
                            Name(kernel.tensor.name),
                            places,
                            [p.window for p in places],
                        )
    return None


# -- transposed convolutions --------------------------------------------------------------


def _spread(term: Term) -> Piece | None:
    """``conv_transpose2d(Y, F)``: every entry of Y spreads a scaled filter over the result."""
    arrays = _pair(term)
    if arrays is None:
        return None
    # Where both orders are possible, the filter is the array that is no cotangent.
    orders = sorted((arrays, arrays[::-1]), key=lambda order: order[0].tensor.name[0] != "d")
    for image, kernel in orders:
        places = _spread_places(term, image, kernel)
        if not places or len(places) not in _LAST:
            continue
        places.sort(key=lambda place: place.axis)
        for pattern in _TRANSPOSED:
            roles = _roles(pattern, image, kernel, term, places)
            if roles is not None:
                return _word(pattern, roles, image, kernel, places)
    return None


def _spread_places(term: Term, image: Access, kernel: Access) -> list[Place] | None:
    """Where ``result = stride*window + dilation*inner - pad``, solved for one of them or not."""
    places: list[Place] = []
    relations: list[tuple[Access | None, int, Affine]] = [
        (kernel, axis, p) for axis, p in compound(kernel)
    ]
    relations += [(image, axis, p) for axis, p in compound(image)]
    relations += [(None, 0, b.value) for b, _ in term.factors if isinstance(b, Iverson)]
    for holder, axis, position in relations:
        place = _spread_place(term, image, kernel, holder, axis, position)
        if place is None:
            return None
        places.append(place)
    return places


def _spread_place(
    term: Term, image: Access, kernel: Access, holder: Access | None, axis: int, position: Affine
) -> Place | None:
    free = [i for i, _ in position.terms if isinstance(i, Index) and i not in term.bound]
    if len(free) != 1:
        return None
    (result,) = free
    if position.coefficient(result) != ONE:
        if holder is not None:
            return None  # read backwards: a filter at l - i is no filter at i - l
        position = -position
    if position.coefficient(result) != ONE or not nonnegative(position.const):
        return None
    stride = dilation = ONE
    own, other = axis, axis
    for index, coefficient in position.terms:
        if index == result or not isinstance(index, Index):
            continue
        for array in (image, kernel):
            found = axis_of(array, index)
            if array is holder or found is None:
                continue
            if array is image:
                own, stride = found, -coefficient
            else:
                other, dilation = found, -coefficient
            break
        else:
            return None
    if len(position.terms) != (3 if holder is None else 2):
        return None
    if not (positive(stride) and positive(dilation)):
        return None
    pad, size = position.const, kernel.tensor.shape[other]
    return Place(own, other, result, Window(size, stride, pad, pad, dilation))


def _word(
    pattern: _Pattern, roles: _Roles, image: Access, kernel: Access, places: Sequence[Place]
) -> Piece:
    windows = [p.window for p in places]
    lengths = [image.tensor.shape[p.axis] for p in places]
    natural = [
        (n - 1) * w.stride + w.dilation * (w.size - 1) + 1 - w.before - w.after
        for n, w in zip(lengths, windows, strict=True)
    ]
    sizes = [p.result.size for p in places]
    first, second = Name(image.tensor.name), Name(kernel.tensor.name)
    full = [w.size - 1 - w.before for w in windows]
    if (
        len(places) == 2
        and not pattern.last
        and natural == sizes
        and all(w.stride == w.dilation == ONE for w in windows)
        and all(map(nonnegative, full))
    ):
        # The full correlation with the filter turned by 180 degrees.
        turned: Tree = call("rot180", second)
        if "c" in roles:
            turned = call("swapaxes", turned, integer(0), integer(1))
        wide = [Window(w.size, before=p, after=p) for w, p in zip(windows, full, strict=True)]
        return _convolution("conv", pattern, roles, first, turned, places, wide)
    shape = None
    if natural != sizes:
        shape = dim_tree(sizes[0]) if len(sizes) == 1 else Items(tuple(map(dim_tree, sizes)))
    return _convolution("conv_transpose", pattern, roles, first, second, places, windows, shape)
