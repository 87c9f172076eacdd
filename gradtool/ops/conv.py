"""Convolutions, as deep learning means the word: correlations with a filter that slides.

Layouts follow the frameworks: images ``NCHW`` with filters ``(K, C/groups, R, S)``, or images
``NHWC`` with filters ``(R, S, C/groups, K)``.  An image without a batch axis and a plain matrix
under a plain filter are convolved too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradtool.ir.dims import ONE, ZERO, Dim, shape_text
from gradtool.ir.index import Affine, Index
from gradtool.ir.poly import UNIT, Iverson, Poly, atom
from gradtool.ir.tree import Call, Items, Literal, Tree
from gradtool.ops.arithmetic import real
from gradtool.ops.build import Builder, Operand, fail
from gradtool.ops.errors import OpError
from gradtool.ops.registry import Arguments, word
from gradtool.ops.shape import dim_tree, reshaped
from gradtool.ops.window import (
    Window,
    counts,
    on_axes,
    per_axis,
    shown,
    windows_of,
    zero_outside,
)
from gradtool.records import Struct, replace

# Roles of axes: N batch, C channel in, K channel out, G group, and a digit for each place.
_LAYOUTS = {
    1: {"NCW": "NC0", "NWC": "N0C"},
    2: {"NCHW": "NC01", "NHWC": "N01C"},
    3: {"NCDHW": "NC012", "NDHWC": "N012C"},
}


class _Axes(Struct, frozen=True):
    """An operand whose axes have roles."""

    operand: Operand
    roles: str

    def size(self, role: str) -> Dim:
        return self.operand.shape[self.roles.index(role)] if role in self.roles else ONE

    def entries(self, values: Mapping[str, Affine]) -> tuple[Affine, ...]:
        return tuple(values[role] for role in self.roles)

    def at(self, values: Mapping[str, Affine]) -> Poly:
        return self.operand.at(on_axes(self.operand.shape, self.entries(values)))

    def split(self, build: Builder, role: str, groups: Dim) -> _Axes:
        """The channels of `role` as groups of channels."""
        if groups == ONE:
            return self
        within = self.size(role) // groups  # known to be exact
        if within == ONE:
            return replace(self, roles=self.roles.replace(role, "G"))
        shape = _inserted(self.operand.shape, self.roles.index(role), groups, within)
        tree = Call("reshape", (self.operand.tree, Items(tuple(map(dim_tree, shape)))))
        return _Axes(
            reshaped(build, self.operand, shape, tree), self.roles.replace(role, "G" + role)
        )


def _inserted(shape: tuple[Dim, ...], axis: int, first: Dim, second: Dim) -> tuple[Dim, ...]:
    return (*shape[:axis], first, second, *shape[axis + 1 :])


class _Convolution(Struct, frozen=True):
    """The operands of a convolution, channels split into groups, and its windows."""

    x: _Axes
    filter: _Axes
    bias: _Axes | None
    windows: tuple[Window, ...]
    groups: Dim
    roles: str  # of the result
    tree: Call

    @property
    def places(self) -> str:
        return "".join(str(k) for k in range(len(self.windows)))


def _read(build: Builder, call: Call, given: Arguments, rank: int, split: str) -> _Convolution:
    """The operands of a convolution over `rank` places.

    `split` is the role of the first axis of a filter, which is the one that groups divide:
    "K" in a convolution, "C" in a transposed one.
    """
    x, f = real(build, given["x"]), real(build, given["filter"])
    name, roles = _layout(call, given.get("layout"), rank)
    places = "".join(str(k) for k in range(rank))
    order = "KC" if split == "K" else "CK"
    if x.rank == f.rank == rank:
        roles, kernel = places, places
    elif x.rank in (rank + 1, rank + 2) and f.rank == rank + 2:
        roles = roles if x.rank == rank + 2 else roles.removeprefix("N")
        kernel = order + places if name.startswith("NC") else places + order[::-1]
    else:
        fail(
            f"{call.op} needs images of {rank + 2} axes ({name}) and filters of as many, found "
            f"{shape_text(x.shape)} and {shape_text(f.shape)}",
            call,
            hint="X[None] adds a batch axis, X[:, None] an axis for one channel",
        )
    source, kernels = _Axes(x, roles), _Axes(f, kernel)
    (groups,) = per_axis(build, given.get("groups"), 1, ONE, "the number of groups", least=1)
    channels = _channels_out(source, kernels, groups, split, call, given)
    bias = _bias(build, given.get("bias"), channels)
    windows = windows_of(build, given, [kernels.size(p) for p in places])
    options = list(shown(windows))
    if groups != ONE:
        options.append(("groups", dim_tree(groups)))
    if name != next(iter(_LAYOUTS[rank])):
        options.append(("layout", Literal(name)))
    arguments = (x.tree, f.tree) if bias is None else (x.tree, f.tree, bias.operand.tree)
    return _Convolution(
        source.split(build, "C", groups),
        kernels.split(build, split, groups),
        None if bias is None else bias.split(build, "K", groups),
        windows,
        groups,
        roles.replace("C", "K"),
        Call(call.op, arguments, tuple(options)),
    )


def _layout(call: Call, tree: Tree | None, rank: int) -> tuple[str, str]:
    known = _LAYOUTS[rank]
    name = next(iter(known)) if tree is None else tree.value if isinstance(tree, Literal) else None
    if not isinstance(name, str) or name not in known:
        fail(f"{call.op} knows the layouts {' and '.join(known)}", tree or call)
    return name, known[name]


def _channels_out(x: _Axes, f: _Axes, groups: Dim, split: str, call: Call, given: Arguments) -> Dim:
    """The number of channels of the result, after a check of those of the operands."""
    into, out = x.size("C"), f.size("K")
    for channels, tree in ((into, given["x"]), (f.size(split), given["filter"])):
        if channels.divided_by(groups) is None:
            fail(
                f"{channels} channels do not split into {groups} groups",
                tree,
                hint=f"declare the size as a multiple, {groups}*C",
            )
    expected = into.divided_by(groups) if split == "K" else into
    if f.size("C") != expected:
        fail(
            f"the filter {shape_text(f.operand.shape)} has {f.size('C')} channels, the image "
            f"{shape_text(x.operand.shape)} needs {expected}",
            given["filter"],
        )
    return out if split == "K" else out * groups


def _bias(build: Builder, tree: Tree | None, channels: Dim) -> _Axes | None:
    if tree is None or (isinstance(tree, Literal) and tree.value is None):
        return None
    bias = real(build, tree)
    if bias.shape != (channels,):
        fail(
            f"the bias needs the shape {shape_text((channels,))}, found {shape_text(bias.shape)}",
            tree,
        )
    return _Axes(bias, "K")


def _defined(
    build: Builder, conv: _Convolution, body: Poly, indices: Mapping[str, Index]
) -> Operand:
    """The result over one index for each role, its channels joined again from their groups."""
    grouped = conv.groups != ONE
    within = indices["K"].size
    roles = conv.roles
    if grouped:
        roles = roles.replace("K", "G" if within == ONE else "GK")
    free = tuple(indices[role] for role in roles)
    if conv.bias is not None:
        body = body + conv.bias.at(_entries(indices))
    if not grouped or within == ONE:
        return build.define(free, body, conv.tree)
    shape = tuple(index.size for index in free)
    inner = Call("reshape", (conv.tree, Items(tuple(map(dim_tree, shape)))))
    made = build.define(free, body, inner)
    k = roles.index("G")
    whole = (*shape[:k], shape[k] * shape[k + 1], *shape[k + 2 :])
    return reshaped(build, made, whole, conv.tree)


def _indices(build: Builder, sizes: Mapping[str, Dim]) -> dict[str, Index]:
    """A fresh index for every role."""
    return dict(zip(sizes, build.indices(tuple(sizes.values())), strict=True))


def _entries(indices: Mapping[str, Index]) -> dict[str, Affine]:
    return {role: Affine.of(index) for role, index in indices.items()}


def _convolve(build: Builder, call: Call, given: Arguments, rank: int) -> Operand:
    conv = _read(build, call, given, rank, "K")
    lengths = [conv.x.size(p) for p in conv.places]
    found = counts(build, conv.windows, lengths, given["x"])
    outer = _indices(build, _result_sizes(conv, found))
    inner = _indices(build, {r: conv.filter.size(r) for r in "C" + conv.places})
    moved = {
        p: window.entry(Affine.of(outer[p]), Affine.of(inner[p]))
        for p, window in zip(conv.places, conv.windows, strict=True)
    }
    image = {**_entries({**outer, "C": inner["C"]}), **moved}
    if any(window.padded for window in conv.windows):
        x = zero_outside(build, conv.x.operand)(conv.x.entries(image))
    else:
        x = conv.x.at(image)
    body = x * conv.filter.at(_entries({**outer, **inner}))
    return _defined(build, conv, body.over(inner.values()), outer)


def _result_sizes(conv: _Convolution, places: Sequence[Dim]) -> dict[str, Dim]:
    return {
        "N": conv.x.size("N"),
        "G": conv.groups,
        "K": conv.filter.size("K"),
        **dict(zip(conv.places, places, strict=True)),
    }


_OPTIONS = "bias stride pad dilation groups layout"


@word(
    "conv1d",
    "x filter",
    optional=_OPTIONS,
    examples=(
        "Y = conv1d(T3, T3[:, :, :1])",
        "Y = conv1d(T3, T3[:, :, :1], stride=2, pad=1)",
    ),
)
def conv1d(build: Builder, call: Call, given: Arguments) -> Operand:
    """``Y[n, k, i] = sum over c, r of X[n, c, stride*i + dilation*r - pad] * F[k, c, r]``."""
    return _convolve(build, call, given, 1)


@word(
    "conv2d",
    "x filter",
    optional=_OPTIONS,
    examples=(
        "Y = conv2d(X, X)",
        "Y = conv2d(T3[:, None], T3[:, None, :1, :1], stride=2, pad=1)",
        "Y = conv2d(T3[:, None], T3[:, None, :1, :1], T3[:, 0, 0])",
    ),
)
def conv2d(build: Builder, call: Call, given: Arguments) -> Operand:
    """The correlation of images with filters.

    ``Y[n, k, i, j] = bias[k] + sum over c, r, s of
    X[n, c, stride*i + dilation*r - pad, stride*j + dilation*s - pad] * F[k, c, r, s]``,
    with zeros around X; `groups` splits the channels, each part with its own filters.
    """
    return _convolve(build, call, given, 2)


@word(
    "conv3d",
    "x filter",
    optional=_OPTIONS,
    examples=("Y = conv3d(T3[:, None, None], T3[:1, None, None, :, :1], pad=1)",),
)
def conv3d(build: Builder, call: Call, given: Arguments) -> Operand:
    """The correlation of volumes ``(N, C, D, H, W)`` with filters ``(K, C, Q, R, S)``."""
    return _convolve(build, call, given, 3)


_TRANSPOSED = f"{_OPTIONS} output_pad shape"


@word(
    "conv_transpose1d",
    "x filter",
    optional=_TRANSPOSED,
    examples=("Y = conv_transpose1d(T3, swapaxes(T3, 0, 1)[:, :, :1], stride=2)",),
)
def conv_transpose1d(build: Builder, call: Call, given: Arguments) -> Operand:
    """The transpose of conv1d; filters are ``(C, K/groups, R)``."""
    return _spread(build, call, given, 1)


@word(
    "conv_transpose2d",
    "x filter",
    optional=_TRANSPOSED,
    examples=(
        "Y = conv_transpose2d(X, X)",
        "Y = conv_transpose2d(T3[:, None], T3[:1, None], stride=2)",
    ),
)
def conv_transpose2d(build: Builder, call: Call, given: Arguments) -> Operand:
    """The transpose of conv2d: every entry of x spreads a scaled filter over the result.

    ``Y[n, k, a, b] = sum of X[n, c, i, j] * F[c, k, r, s]`` over all c, i, j, r, s with
    ``a = stride*i + dilation*r - pad`` (b likewise).  Filters are ``(C, K/groups, R, S)``, or
    ``(R, S, K/groups, C)`` for NHWC images.  The size of the result is
    ``(H - 1)*stride + dilation*(R - 1) + 1 - 2*pad + output_pad``, or `shape`.
    """
    return _spread(build, call, given, 2)


@word(
    "conv_transpose3d", "x filter", optional=_TRANSPOSED, examples=("Y = conv_transpose3d(T3, T3)",)
)
def conv_transpose3d(build: Builder, call: Call, given: Arguments) -> Operand:
    """The transpose of conv3d; filters are ``(C, K/groups, Q, R, S)``."""
    return _spread(build, call, given, 3)


def _spread(build: Builder, call: Call, given: Arguments, rank: int) -> Operand:
    conv = _read(build, call, given, rank, "C")
    natural = [
        (conv.x.size(p) - 1) * w.stride + w.dilation * (w.size - 1) + 1 - w.before - w.after
        for p, w in zip(conv.places, conv.windows, strict=True)
    ]
    extra = per_axis(build, given.get("output_pad"), rank, ZERO, "output_pad", least=0)
    found = [length + more for length, more in zip(natural, extra, strict=True)]
    if "shape" in given:
        if any(more != ZERO for more in extra):
            raise OpError("give output_pad or shape, not both", call.span)
        found = list(per_axis(build, given["shape"], rank, ONE, "a size", least=1))
    for length in found:
        build.assume(length - 1)
    tree = conv.tree
    if found != natural:
        written = Items(tuple(map(dim_tree, found)))
        tree = replace(tree, kwargs=(*tree.kwargs, ("shape", written)))
    outer = _indices(build, _result_sizes(conv, found))
    spread = _indices(build, {r: conv.x.size(r) for r in "C" + conv.places})
    inner = _indices(build, {p: conv.filter.size(p) for p in conv.places})
    meets = UNIT
    for p, window in zip(conv.places, conv.windows, strict=True):
        place = window.entry(Affine.of(spread[p]), Affine.of(inner[p]))
        meets = meets * atom(Iverson("eq", Affine.of(outer[p]) - place))
    body = (
        conv.x.at(_entries({**outer, **spread}))
        * conv.filter.at(_entries({**outer, **inner, "C": spread["C"]}))
        * meets
    )
    bound = (*spread.values(), *inner.values())
    return _defined(build, replace(conv, tree=tree), body.over(bound), outer)
